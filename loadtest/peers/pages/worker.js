// The same file for every JavaScript runtime that is measured: a greeting, JSON of ten objects made for the request, and
// a page that is rendered from fifty, every value escaped.
const ESCAPES = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };
const escape = (text) => String(text).replace(/[&<>"]/g, (found) => ESCAPES[found]);

function render(path) {
  const rows = [];
  for (let id = 0; id < 50; id++) {
    const name = `item ${id} <"${path}">`;
    rows.push(`<tr><td>${id}</td><td><a href="/items/${id}">${escape(name)}</a></td><td>${(id * 1.5).toFixed(2)}</td></tr>`);
  }
  return `<!doctype html><title>${escape(path)}</title><table>${rows.join("")}</table>\n`;
}

export default {
  fetch(request, env) {
    const { pathname } = new URL(request.url);
    if (pathname === "/json") {
      const items = [];
      for (let id = 0; id < 10; id++) items.push({ id, name: `item ${id}`, price: id * 1.5, tags: ["a", "b"] });
      return new Response(JSON.stringify({ items, path: pathname }), { headers: { "content-type": "application/json" } });
    }
    if (pathname === "/page") {
      return new Response(render(pathname), { headers: { "content-type": "text/html; charset=utf-8" } });
    }
    return new Response(`hello from ${pathname}\n`);
  },
};
