// One path for each part of the platform that the tests look at.
const early = {};
for (const [name, act] of Object.entries({
  random: () => Math.random(),
  uuid: () => crypto.randomUUID(),
  timer: () => setTimeout(() => {}, 1),
})) {
  try { act(); early[name] = "allowed"; } catch (error) { early[name] = String(error.message).slice(0, 44); }
}
const hex = (buffer) => [...new Uint8Array(buffer)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
let served = 0;

const paths = {
  "/early": () => Response.json(early),
  "/env": (request, env) => Response.json(env),
  "/count": () => new Response(String(++served)),
  "/json": () => Response.json({ items: Array.from({ length: 10 }, (_, id) => ({ id, name: `item ${id}`, price: id * 1.5 })) }),
  "/query": (request, env, ctx, url) => Response.json([url.searchParams.get("q"), url.searchParams.getAll("a"), url.host, url.href]),
  "/headers": (request) => new Response(null, { status: 201, headers: [["x-got", request.headers.get("X-Given")], ["set-cookie", "a=1"], ["set-cookie", "b=2"]] }),
  "/echo": async (request) => new Response(await request.arrayBuffer(), { headers: { "x-method": request.method } }),
  "/pipe": (request) => new Response(request.body),
  "/form": async (request) => { const form = await request.formData(); return Response.json([...form.entries()]); },
  "/parts": () => new Response(new ReadableStream({ async start(c) { for (let n = 0; n < 5; n++) { await new Promise((go) => setTimeout(go, 1)); c.enqueue(new TextEncoder().encode(`part ${n}\n`)); } c.close(); } })),
  "/large": () => new Response("0123456789abcdef".repeat(1 << 16)),
  "/digest": async () => Response.json(await Promise.all(["SHA-1", "SHA-256", "SHA-384", "SHA-512"].map(async (name) => hex(await crypto.subtle.digest(name, new TextEncoder().encode("abc")))))),
  "/random": () => Response.json([Math.random(), crypto.randomUUID(), hex(crypto.getRandomValues(new Uint8Array(16)).buffer)]),
  "/base64": () => new Response(btoa("h\u00e9llo") + " " + atob("aGk=")),
  "/utf8": () => new Response(new TextDecoder().decode(new TextEncoder().encode("gr\u00fc\u00dfe \u{1F3D4}"))),
  "/clone": () => { const a = { d: new Date(5), m: new Map([[1, new Set([2])]]), r: /x/g }; a.self = a; const b = structuredClone(a); return Response.json([b !== a, b.self === b, b.d.getTime(), b.m.get(1).has(2), String(b.r)]); },
  "/abort": async () => { const c = new AbortController(); setTimeout(() => c.abort(), 1); try { await new Promise((_, no) => c.signal.addEventListener("abort", () => no(c.signal.reason))); } catch (error) { return new Response(error.name); } },
  "/later": async (request, env, ctx) => { ctx.waitUntil((async () => { await new Promise((go) => setTimeout(go, 1)); console.log("after the answer", { a: [1, "b"] }); })()); return new Response("now"); },
  "/redirect": () => Response.redirect("http://other.test/x", 303),
  "/throw": () => { throw new Error("boom"); },
  "/reject": async () => { await null; throw new TypeError("late"); },
  "/nothing": () => undefined,
  "/unhandled": () => { Promise.reject(new Error("forgotten")); return new Response("ok"); },
  "/deep": () => { const down = () => down() + 1; try { down(); } catch (error) { return new Response(error.name); } },
  "/fetch": async (request, env, ctx, url) => { const answer = await fetch(url.searchParams.get("url"), { headers: { "x-own": "yes" } }); return new Response(await answer.text(), { status: answer.status, headers: { "x-answer": answer.headers.get("x-answer") } }); },
  "/fetch-fails": async (request, env, ctx, url) => { try { await fetch(url.searchParams.get("url")); } catch (error) { return new Response(`${error.name}: ${error.message}`); } },
  "/loop": () => { for (;;); },
  "/promises": async () => { for (;;) await null; },
  "/memory": () => { const all = []; for (;;) all.push("x".repeat(1 << 20) + all.length); },
  "/string": () => new Response("x".repeat(1 << 30)),
  "/regex": () => new Response(String(/^(a+)+$/.test("a".repeat(40) + "b"))),
  "/patch": () => {
    Object.defineProperty(Object.prototype, "0", { set() { throw new Error("set"); }, configurable: true });
    Array.prototype.push = Array.prototype[Symbol.iterator] = Promise.prototype.then = Map.prototype.get = () => { throw new Error("patched"); };
    return new Response("patched");
  },
  "/plain": () => new Response("plain"),
  "/globals": () => Response.json(Object.getOwnPropertyNames(globalThis).filter((name) => name.startsWith("__"))),
};
export default {
  fetch(request, env, ctx) {
    const url = new URL(request.url);
    return (paths[url.pathname] ?? (() => new Response("none", { status: 404 })))(request, env, ctx, url);
  },
};
