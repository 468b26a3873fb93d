// The event loop's side in JavaScript: requests in, responses out, timers, and whatever waits. `main.c` calls `__loop`.
"use strict";
(() => {
  const share = globalThis.__share;
  const { nk, expose, deferred, bytesOf, show, Request, Response, Headers } = share;
  const NativePromise = Promise;
  const WHOLE_MAX = 2400; // characters of a body that fit one record with the head, at three bytes each
  share.incoming = Symbol("from the gate");

  // Timers, soonest first.
  let timers = [], lastTimer = 0;
  const setTimer = (callback, ms, values, repeat) => {
    share.onlyServing(repeat ? "setInterval()" : "setTimeout()");
    const delay = Math.max(0, Number(ms) || 0);
    const timer = { id: ++lastTimer, at: nk.mono() + delay, callback, values, every: repeat ? Math.max(1, delay) : 0 };
    insert(timer);
    return timer.id;
  };
  const insert = (timer) => {
    let place = timers.length;
    while (place && timers[place - 1].at > timer.at) { timers[place] = timers[place - 1]; place--; }
    timers[place] = timer;
  };
  const clear = (id) => { for (let n = 0; n < timers.length; n++) if (timers[n].id === id) { timers.splice(n, 1); return; } };
  const runTimers = () => {
    while (timers.length && timers[0].at <= nk.mono()) {
      const timer = timers.shift();
      if (timer.every) { timer.at = nk.mono() + timer.every; insert(timer); }
      try { timer.callback(...timer.values); } catch (error) { nk.log(`uncaught: ${show(error)}`); }
      if (timer.every) break; // let others have a turn
    }
  };
  expose({
    setTimeout: (callback, ms, ...values) => setTimer(callback, ms, values, false),
    setInterval: (callback, ms, ...values) => setTimer(callback, ms, values, true),
    clearTimeout: clear,
    clearInterval: clear,
    setImmediate: (callback, ...values) => setTimer(callback, 0, values, false),
    scheduler: { wait: (ms) => { const { promise, resolve } = deferred(); setTimer(resolve, ms, [], false); return promise; } },
  });

  // What waits for the gate: looked at after every wake-up.
  let waiting = [];
  const when = (look) => {
    if (look()) return undefined;
    const { promise, resolve } = deferred();
    waiting[waiting.length] = { look, resolve };
    return promise;
  };
  share.when = when;
  const lookAround = () => {
    const before = waiting;
    waiting = [];
    for (let n = 0; n < before.length; n++) before[n].look() ? before[n].resolve() : (waiting[waiting.length] = before[n]);
  };

  // Requests.
  let worker = null, env = null, active = 0;
  class ExecutionContext {
    props = {};
    waitUntil(promise) { (async () => { try { await promise; } catch (error) { nk.log(`waitUntil: ${show(error)}`); } })(); }
    passThroughOnException() {}
  }

  const bodyOf = (handle) => new ReadableStream({
    async pull(controller) {
      let part;
      await when(() => (part = nk.read(handle.at)) !== undefined || handle.ended);
      if (handle.ended || part === null) controller.close();
      else if (part === false) controller.error(new TypeError("The client has left"));
      else controller.enqueue(new Uint8Array(part));
    },
  }, { highWaterMark: 0 });

  const finish = (handle, complete) => {
    handle.ended = true;
    nk.end(handle.at, complete);
  };

  const writeAll = async (handle, bytes) => {
    for (let at = 0; at < bytes.length; ) {
      const sent = nk.write(handle.at, bytes, at);
      if (sent < 0) return false;
      at += sent;
      if (at < bytes.length) await when(() => nk.gone(handle.at) || windowOpen(handle));
    }
    return !nk.gone(handle.at);
  };
  // Whether more can go is only seen by trying; after a wake-up it is worth trying again.
  const windowOpen = (handle) => (handle.turn !== turn ? ((handle.turn = turn), true) : false);
  let turn = 0;

  const stream = async (handle, response, body) => {
    const reader = body.getReader();
    try {
      for (;;) {
        const { value, done } = await reader.read();
        if (done) break;
        const bytes = typeof value === "string" ? nk.encode(value) : bytesOf(value);
        if (!bytes) throw new TypeError("TransformStream, ReadableStream: bytes expected in a response's body");
        handle.turn = turn;
        if (!(await writeAll(handle, bytes))) { await reader.cancel(new TypeError("The client has left")); break; }
      }
      finish(handle, true);
    } catch (error) {
      nk.log(`response: ${show(error)}`);
      finish(handle, false);
    }
  };

  const respond = (handle, response) => {
    if (!(response instanceof Response)) {
      nk.log(`uncaught: TypeError: Incorrect type for Promise: the Promise did not resolve to 'Response'.`);
      return failed(handle);
    }
    if (response.bodyUsed) {
      nk.log("uncaught: TypeError: Body has already been used. It can only be used once. Use tee() first if you need to read it twice.");
      return failed(handle);
    }
    const raw = response._stream ?? response._raw;
    nk.head(handle.at, response.status || 500, response.headers._list);
    if (raw === null || raw === "") return finish(handle, true);
    response._used = true;
    if (typeof raw === "string" && raw.length <= WHOLE_MAX) {
      nk.write(handle.at, raw, 0);
      return finish(handle, true);
    }
    if (raw instanceof ReadableStream) return void stream(handle, response, raw);
    const bytes = typeof raw === "string" ? nk.encode(raw) : raw;
    const sent = nk.write(handle.at, bytes, 0);
    if (sent === bytes.length || sent < 0) return finish(handle, true);
    rest(handle, bytes.subarray(sent));
  };
  const rest = async (handle, bytes) => { await when(() => windowOpen(handle) || nk.gone(handle.at)); await writeAll(handle, bytes); finish(handle, true); };
  const failed = (handle) => {
    nk.head(handle.at, 500, ["content-type", "text/plain;charset=UTF-8"]);
    nk.write(handle.at, "Internal Server Error", 0);
    finish(handle, true);
  };
  const answer = (handle, response) => {
    try { respond(handle, response); } catch (error) { nk.log(`uncaught: ${show(error)}`); finish(handle, false); }
  };
  const settle = async (handle, promise) => {
    let response;
    try { response = await promise; } catch (error) { nk.log(`uncaught: ${show(error)}`); return failed(handle); }
    answer(handle, response);
  };

  const rejections = new Map();
  globalThis.__rejected = (promise, reason, handled) => { handled ? rejections.delete(promise) : rejections.set(promise, reason); };

  globalThis.__loop = {
    setWorker(namespace) {
      worker = namespace.default;
      if (worker === undefined || typeof worker?.fetch !== "function")
        throw new TypeError("a worker must `export default { async fetch(request, env, ctx) { ... } }`");
      env = nk.env();
      tellRejections();
    },
    onRequest(at) {
      const handle = { at, ended: false, turn: -1 };
      const about = (share.request = nk.about(at));
      const request = new Request(share.incoming, about);
      if (about[0] !== "GET" && about[0] !== "HEAD") request._raw = bodyOf(handle);
      let response;
      try { response = worker.fetch(request, env, new ExecutionContext()); } catch (error) { nk.log(`uncaught: ${show(error)}`); return failed(handle); }
      if (response instanceof Response) return answer(handle, response);
      const now = nk.settled(response); // an async function that did not wait
      if (now instanceof Response && response.constructor === NativePromise) return answer(handle, now);
      settle(handle, response);
    },
    poll() {
      turn++;
      if (waiting.length) lookAround();
    },
    runTimers() {
      if (timers.length) runTimers();
      if (rejections.size) tellRejections();
      return timers.length ? Math.max(0, timers[0].at - nk.mono()) : -1;
    },
  };
  const tellRejections = () => {
    for (const reason of rejections.values()) nk.log(`unhandled rejection: ${show(reason)}`);
    rejections.clear();
  };
  delete globalThis.__nk;
})();
