// A reverse proxy as a worker: what the tests' own server says, as it says it.
export default {
  async fetch(request, env) {
    const url = new URL(request.url);
    const headers = new Headers(request.headers);
    headers.delete("host");
    const body = ["GET", "HEAD"].includes(request.method) ? undefined : await request.arrayBuffer();
    try {
      const said = await fetch(env.SERVER + url.pathname + url.search, {
        method: request.method,
        headers,
        body,
        redirect: "manual",
      });
      return new Response(said.body ? await said.arrayBuffer() : null, said);
    } catch (error) {
      return new Response(`${error}\n`, { status: 502 });
    }
  },
};
