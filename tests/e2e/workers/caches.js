// What the Cache API gives: each request says in its body what is to be done, and is told what came of it.
import { cache as imported } from "cloudflare:workers";

const chunks = (size, count) => {
  let n = 0;
  return new ReadableStream({ pull(c) { n++ < count ? c.enqueue(new Uint8Array(size).fill(97 + (n % 26))) : c.close(); } });
};
const steps = {
  async put({ url, method, asked, status, fields, body, large, count, broken, packed, streams }, cache) {
    let raw = body ?? null;
    if (large) raw = chunks(large, count);
    if (packed) raw = Uint8Array.from(atob(packed), (sign) => sign.charCodeAt(0));
    if (streams) raw = new Blob([raw]).stream();
    if (broken) raw = new ReadableStream({ pull() { throw new Error("it broke"); } });
    const response = new Response(raw, { status, headers: fields });
    await cache.put(method || asked ? new Request(url, { method, headers: asked }) : url, response);
    return response.bodyUsed;
  },
  async match({ url, method, asked, options, size }, cache) {
    const found = await cache.match(method || asked ? new Request(url, { method, headers: asked }) : url, options);
    if (found === undefined) return null;
    const body = size ? String((await found.arrayBuffer()).byteLength) : await found.text();
    return [found.status, body, Object.fromEntries(found.headers), found.url];
  },
  delete: ({ url, method, options }, cache) => cache.delete(method ? new Request(url, { method }) : url, options),
  purge: ({ given, module }, cache, ctx) => (module ? imported : ctx.cache).purge(given),
  shape: async () => [
    String(caches), String(caches.default), caches.default === caches.default, (await caches.open("a")) === (await caches.open("a")),
    typeof Cache, typeof CacheStorage, Object.keys(Cache.prototype), "caches" in globalThis,
  ],
};
const pages = (path) => new Response(`${path} ${Math.random()}`, { headers: { "cache-control": "max-age=60", "cache-tag": path.slice(1).split("/").join(",") } });

export default {
  async fetch(request, env, ctx) {
    const { pathname } = new URL(request.url);
    if (pathname !== "/do") {
      const found = await caches.default.match(request);
      return found ?? pages(pathname);
    }
    const step = await request.json();
    try {
      return Response.json({ is: await steps[step.do](step, step.cache ? await caches.open(step.cache) : caches.default, ctx) });
    } catch (error) {
      return Response.json({ error: String(error) });
    }
  },
};
