// Streams whose next step is another request's to release, so that a test sees what came before it.
const counts = { pulls: 0, cancelled: 0, aborted: 0, finished: 0, failed: 0 };
let waiting = [];
const step = () => new Promise((go) => waiting.push(go));
const encoder = new TextEncoder();
const steps = (words) => new ReadableStream({
  async pull(c) {
    counts.pulls++;
    const word = words.shift();
    if (word === undefined) return c.close();
    await step();
    c.enqueue(encoder.encode(word));
  },
  cancel() { counts.cancelled++; },
}, { highWaterMark: 0 });
const quiet = () => new ReadableStream({ cancel() { counts.cancelled++; } });
const endless = () => new ReadableStream({
  pull(c) { counts.pulls++; c.enqueue(new Uint8Array(16384)); },
  cancel() { counts.cancelled++; },
}, { highWaterMark: 0 });
const lines = () => {
  let rest = "";
  return new TransformStream({
    transform(chunk, c) { const parts = (rest + chunk).split("\n"); rest = parts.pop(); for (const part of parts) c.enqueue(`[${part}]`); },
    flush(c) { if (rest) c.enqueue(`[${rest}]`); },
  });
};
const words = (...all) => new ReadableStream({ start(c) { for (const word of all) c.enqueue(encoder.encode(word)); c.close(); } });
const later = (ms) => new Promise((go) => setTimeout(go, ms));

const paths = {
  "/counts": () => Response.json(counts),
  "/go": () => { const go = waiting.shift(); go?.(); return new Response(go ? "gone" : "nobody waits"); },
  "/steps": () => new Response(steps(["one", "two", "three"]), { headers: { "content-type": "text/event-stream" } }),
  "/piped-steps": () => new Response(steps(["one\n", "two\n"]).pipeThrough(new TextDecoderStream()).pipeThrough(lines()).pipeThrough(new TextEncoderStream())),
  "/quiet": (request) => { request.signal.addEventListener("abort", () => { counts.aborted++; }); return new Response(quiet()); },
  "/piped-quiet": (request) => { request.signal.addEventListener("abort", () => { counts.aborted++; }); return new Response(quiet().pipeThrough(new TransformStream())); },
  "/unanswered": async (request) => { request.signal.addEventListener("abort", () => { counts.aborted++; }); await new Promise(() => {}); },
  "/endless": () => new Response(endless()),
  "/lines": () => new Response(words("a", "b", "c\nd", "", "\n", "e").pipeThrough(new TextDecoderStream()).pipeThrough(lines()).pipeThrough(new TextEncoderStream())),
  "/echo": (request) => new Response(request.body),
  "/large-head": (request, env, ctx, url) => {
    const response = new Response("ok");
    for (let n = 0; n < Number(url.searchParams.get("n")); n++) response.headers.append("set-cookie", `s${n}=` + "s".repeat(2000));
    return response;
  },
  "/unread": async (request, env) => new Response(String((await fetch(env.UPSTREAM + "/large")).status)),
  "/at-once": async (request, env) => {
    const answers = await Promise.all(Array.from({ length: 40 }, () => fetch(env.UPSTREAM + "/some")));
    const sizes = await Promise.all(answers.map(async (answer) => (await answer.arrayBuffer()).byteLength));
    return new Response(String(sizes.reduce((a, b) => a + b)));
  },
  "/unread-in-a-row": async (request, env) => {
    let good = 0;
    for (let n = 0; n < 40; n++) good += (await fetch(env.UPSTREAM + "/large")).ok;
    return new Response(String(good));
  },
  "/silent": async (request, env) => {
    const controller = new AbortController();
    setTimeout(() => controller.abort(new Error("mine")), 5);
    try { await fetch(env.UPSTREAM + "/silent", { signal: controller.signal }); } catch (error) { return new Response(error.message); }
  },
  "/left": async (request, env) => { try { await fetch(new Request(env.UPSTREAM + "/silent", request)); } catch { counts.failed++; } return new Response("late"); },
  "/owed": (request, env, ctx) => { ctx.waitUntil((async () => { for (let n = 0; n < 10; n++) await later(50); await (await fetch(env.UPSTREAM + "/owed")).text(); })()); return new Response("now"); },
  "/packed": async (request, env, ctx, url) => new Response(await (await fetch(env.UPSTREAM + "/packed?" + url.searchParams.get("as"))).text()),
  "/packed-proxy": (request, env, ctx, url) => fetch(new Request(env.UPSTREAM + "/packed?" + url.searchParams.get("as"), request)),
  "/packed-changed": async (request, env, ctx, url) => {
    const answer = await fetch(new Request(env.UPSTREAM + "/packed?" + url.searchParams.get("as"), request));
    return new Response(url.searchParams.has("text") ? await answer.text() : answer.body.pipeThrough(new TransformStream()), answer);
  },
  "/packed-kept": async (request, env, ctx, url) => {
    const place = `https://kept.test/${url.search}`, answer = await fetch(env.UPSTREAM + "/packed?" + url.searchParams.get("as"));
    const copy = new Response(answer.body, answer);
    copy.headers.set("cache-control", "max-age=60");
    await caches.default.put(place, copy);
    const found = await caches.default.match(place);
    return url.searchParams.has("text") ? new Response(await found.text()) : found;
  },
  "/kept": (request, env, ctx) => { ctx.waitUntil((async () => { await later(20); counts.finished += (await (await fetch(env.UPSTREAM + "/some")).text()).length > 0; })()); return new Response("now"); },
  "/login": (request, env) => fetch(new Request(env.UPSTREAM + "/redirect", request)),
  "/login-followed": async (request, env) => new Response((await fetch(env.UPSTREAM + "/redirect")).url.replace(env.UPSTREAM, "")),
  "/stale-length": async (request, env) => { const answer = await fetch(env.UPSTREAM + "/some"); return new Response((await answer.text()).slice(0, 10) + "!", answer); },
  "/passed-on": (request, env) => fetch(env.UPSTREAM + "/events"),
  "/locked": () => { const response = new Response(quiet()); response.body.getReader(); return response; },
};
export default {
  fetch(request, env, ctx) {
    const url = new URL(request.url);
    return (paths[url.pathname] ?? (() => new Response("none", { status: 404 })))(request, env, ctx, url);
  },
};
