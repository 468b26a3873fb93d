// One path for each rule of streams and of exchanges that the tests look at.
const encoder = new TextEncoder();
const seen = [];
const words = (...all) => new ReadableStream({ start(c) { for (const word of all) c.enqueue(word); c.close(); } });
const quiet = (name) => new ReadableStream({ cancel(reason) { seen.push(`${name} cancelled: ${reason?.message ?? reason}`); } });
const all = async (stream) => { const out = []; for await (const chunk of stream) out.push(chunk); return out; };
const later = (ms) => new Promise((go) => setTimeout(go, ms));
const settled = async (promise) => { try { return `${await promise}`; } catch (error) { return error.message; } };
let go;

const paths = {
  "/text": () => new Response("text"),
  "/async": async () => Response.json({ a: 1 }),
  "/stream-at-once": () => new Response(words(encoder.encode("one "), encoder.encode("two"))),
  "/quiet": () => new Response(quiet("source"), { status: 201 }),
  "/then": () => new Response(new ReadableStream({ async start(c) { c.enqueue(encoder.encode("first")); await new Promise((resolve) => { go = resolve; }); for (let n = 0; n < 100; n++) c.enqueue(encoder.encode(`${n} `)); await null; } })),
  "/go": () => { go(); return new Response("gone"); },
  "/seen": () => Response.json(seen.splice(0)),
  "/filter": async () => Response.json(await all(words("a", "b", "c", "d").pipeThrough(new TransformStream({ transform(chunk, c) { if (chunk > "b") c.enqueue(chunk); } })))),
  "/flush-only": async () => Response.json(await all(words("a", "b", "c").pipeThrough(new TransformStream({ transform(chunk) { this.held = (this.held ?? "") + chunk; }, flush(c) { c.enqueue(this.held); } })))),
  "/many-for-one": async () => Response.json(await all(words("ab", "", "cd").pipeThrough(new TransformStream({ transform(chunk, c) { for (const sign of chunk) c.enqueue(sign); } })))),
  "/decoder": async () => Response.json(await all(words([0xe2], [0x82], [0xac], []).pipeThrough(new TransformStream({ transform(chunk, c) { c.enqueue(new Uint8Array(chunk)); } })).pipeThrough(new TextDecoderStream()))),
  "/terminate": async () => Response.json(await all(words("a", "b", "c").pipeThrough(new TransformStream({ transform(chunk, c) { c.enqueue(chunk); if (chunk === "b") c.terminate(); } })))),
  "/transform-fails": async () => new Response(await settled(all(words("a", "b").pipeThrough(new TransformStream({ transform(chunk) { throw new Error(`at ${chunk}`); } }))))),
  "/tee": async () => { const [a, b] = words("a", "b").tee(); a.cancel(); return Response.json(await all(b)); },
  "/tee-both": async () => { const [a, b] = quiet("teed").tee(); await Promise.all([a.cancel("one"), b.cancel("two")]); return Response.json(seen.splice(0)); },
  "/pipe-signal": async () => {
    const controller = new AbortController(), done = settled(quiet("piped").pipeTo(new WritableStream({ abort(reason) { seen.push(`sink aborted: ${reason.message}`); } }), { signal: controller.signal }));
    await later(1);
    controller.abort(new Error("stop"));
    return Response.json([await done, ...seen.splice(0).sort()]);
  },
  "/pipe-errored": async () => {
    let sink;
    const done = settled(quiet("piped").pipeTo(new WritableStream({ start(c) { sink = c; } })));
    await later(1);
    sink.error(new Error("full"));
    return Response.json([await done, ...seen.splice(0)]);
  },
  "/cancelled-writer": async () => {
    const { readable, writable } = new TransformStream();
    const writer = writable.getWriter(), write = settled(writer.write("never read"));
    await readable.cancel(new Error("enough"));
    return Response.json([await write, await settled(writer.closed)]);
  },
  "/order": async () => {
    const order = [];
    setTimeout(() => { order.push("timer 1"); queueMicrotask(() => order.push("microtask")); }, 1);
    setTimeout(() => order.push("timer 2"), 1);
    await later(3);
    return Response.json(order);
  },
  "/ask": async (request, env, ctx, url) => new Response(String((await fetch(`http://up.test/${url.search}`)).status)),
  "/ask-moved": async () => new Response(String((await fetch("http://up.test/", {
    method: "POST", body: "x", headers: { authorization: "secret", cookie: "a=1", "content-type": "text/x", "x-own": "yes" },
  })).status)),
  "/ask-text": async () => { try { return Response.json(await (await fetch("http://up.test/")).text()); } catch (error) { return Response.json(error.message); } },
  "/ask-fixed": async () => { try { await fetch("http://up.test/", { redirect: "error" }); } catch (error) { return new Response(error.message); } },
  "/ask-kept": async (request, env, ctx) => { ctx.waitUntil(later(1).then(() => fetch("http://up.test/kept")).then((answer) => answer.text()).then((text) => seen.push(text))); return new Response("now"); },
  "/ask-late": async (request, env, ctx, url) => { await later(Number(url.searchParams.get("ms"))); await fetch(`http://up.test/${url.search}`); await new Promise((resolve) => { go = resolve; }); return new Response("late"); },
  "/ask-many": async () => Response.json((await Promise.all(Array.from({ length: 20 }, (_, n) => fetch(`http://up.test/${n}`)))).map((answer) => answer.status)),
  "/stray": () => { setTimeout(async () => { const answer = await fetch("http://up.test/stray"); await later(2); seen.push(await answer.text()); }, 1); return new Response("now"); },
  "/kept-late": (request, env, ctx) => { setTimeout(() => { ctx.waitUntil((async () => { seen.push(await (await fetch("http://up.test/late")).text()); })()); }, 1); return new Response("now"); },
  "/onabort": async (request) => { request.signal.onabort = () => { throw new Error("in onabort"); }; await new Promise(() => {}); },
  "/forget": async () => { fetch("http://up.test/forgotten").catch((error) => seen.push(error.message)); await null; return new Response("now"); },
  "/redirect": (request) => new Response([request.redirect, new Request(request).redirect, new Request("http://up.test/", request).redirect, new Request("http://up.test/").redirect].join()),
  "/signal": async (request) => { const derived = new Request("http://up.test/", request); await new Promise((resolve) => derived.signal.addEventListener("abort", resolve)); seen.push(`aborted: ${request.signal.reason.name}`); },
  "/body-left": async (request) => { seen.push(await settled(request.text())); },
};
export default {
  fetch(request, env, ctx) {
    const url = new URL(request.url);
    return (paths[url.pathname] ?? (() => new Response("none", { status: 404 })))(request, env, ctx, url);
  },
};
