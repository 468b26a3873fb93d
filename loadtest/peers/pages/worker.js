// The same file for every JavaScript runtime that is measured: a greeting, and JSON of ten objects made for the request.
export default {
  fetch(request, env) {
    const { pathname } = new URL(request.url);
    if (pathname === "/json") {
      const items = [];
      for (let id = 0; id < 10; id++) items.push({ id, name: `item ${id}`, price: id * 1.5, tags: ["a", "b"] });
      return new Response(JSON.stringify({ items, path: pathname }), { headers: { "content-type": "application/json" } });
    }
    return new Response(`hello from ${pathname}\n`);
  },
};
