// The event loop's side in JavaScript: requests in, responses out, timers, and whatever waits. `main.c` calls `__loop`.
"use strict";
(() => {
  const share = globalThis.__share;
  const { nk, expose, deferred, show, Request, Response } = share;
  const NativePromise = Promise, { PromiseRejectionEvent } = globalThis;
  const TOO_LARGE = "uncaught: RangeError: the response's header fields are too large";
  const LOOK_MS = 60_000; // requests that wait for nothing here may wait for another, or for their client to leave
  const WHOLE_MAX = 2400; // characters of a body that fit one record with the head, at three bytes each

  // Whose work the code that runs now does: the request it was called for, or that set the timer, or that waited for the
  // gate. Since what is due then runs before anybody else has a turn, this holds across `await`. null: nobody's.
  share.current = null;
  share.again = false; // something has changed that those who wait for the gate should look at

  // What went wrong, with its stack, and for whom: the last line names the request as crash reports do.
  const asked = (handle) => {
    try {
      const { method, url, headers } = handle.request, list = share.listOf(headers);
      let id = "-", end = url.search(/[?#]/);
      if (end < 0) end = url.length;
      for (let n = 0; n < list.length; n += 2) if (list[n] === "x-request-id") id = list[n + 1];
      return `\n    for ${method} ${url.slice(url.indexOf("/", 7), end)} (${id})`;
    } catch { return ""; } // it is nobody's work
  };
  const say = (text, handle) => nk.log(text.trimEnd() + asked(handle));
  const tell = (share.tell = (what, error, handle) => say(`${what}: ${show(error)}`, handle));

  // Timers, soonest first.
  const NESTED = 5, NESTED_MS = 4; // timers that timers set again and again wait a little (HTML, section 8.6)
  let timers = [], lastTimer = 0, nesting = 0;
  let early = null; // the time at which the image was made, while timers of the top level have not begun to count
  const setTimer = (callback, ms, values, repeat) => {
    if (typeof callback !== "function") throw new TypeError(`${repeat ? "setInterval" : "setTimeout"}(): a function expected`);
    if (early !== null) beginEarly();
    let delay = Math.max(0, ms | 0); // a long of Web IDL
    if (nesting > NESTED && delay < NESTED_MS) delay = NESTED_MS;
    const context = nk.context();
    if (context !== undefined) callback = within(context, callback);
    const timer = { id: ++lastTimer, at: nk.mono() + delay, callback, values, every: repeat ? Math.max(1, delay) : 0, owner: share.current, depth: nesting + 1 };
    insert(timer);
    return timer.id;
  };
  const within = (context, callback) => (...values) => { nk.context(context); callback(...values); }; // it ends with the job
  share.setTimer = setTimer;
  const insert = (timer) => {
    let place = timers.length;
    while (place && timers[place - 1].at > timer.at) { timers[place] = timers[place - 1]; place--; }
    timers[place] = timer;
  };
  const clear = (id) => { id = Number(id); for (let n = 0; n < timers.length; n++) if (timers[n].id === id) { timers.splice(n, 1); return; } };
  const beginEarly = () => {
    const passed = nk.mono() - early;
    early = null;
    for (let n = 0; n < timers.length; n++) timers[n].at += passed;
  };
  const runTimers = () => {
    if (early !== null) beginEarly();
    const last = lastTimer; // those that are set from here on are for a later turn
    while (timers.length && timers[0].at <= nk.mono() && timers[0].id <= last) {
      const timer = timers.shift();
      if (timer.every) { timer.at = nk.mono() + timer.every; insert(timer); }
      nesting = timer.depth;
      const { callback, values } = timer; // which is not called as a method of the timer
      runFor(timer.owner, () => callback(...values));
      nesting = 0;
      if (timer.every) break; // let others have a turn
    }
  };
  const runFor = (owner, work) => {
    share.current = owner;
    try { work(); } catch (error) { share.report(error); }
    nk.jobs();
    share.current = null;
  };
  const { queueMicrotask } = globalThis;
  const named = { // functions that say what they are
    setTimeout(callback, ms = 0, ...values) { return setTimer(callback, ms, values, false); },
    setInterval(callback, ms = 0, ...values) { return setTimer(callback, ms, values, true); },
    clearTimeout(id = 0) { clear(id); },
    clearInterval(id = 0) { clear(id); },
    setImmediate(callback, ...values) { return setTimer(callback, 0, values, false); },
    clearImmediate(id = 0) { clear(id); },
    queueMicrotask(callback) {
      if (typeof callback !== "function") throw new TypeError("queueMicrotask(): a function expected");
      queueMicrotask(() => { try { callback(); } catch (error) { share.report(error); } });
    },
  };
  expose(named);
  expose({ scheduler: { wait: (ms) => { const { promise, resolve } = deferred(); setTimer(resolve, ms, [], false); return promise; } } });

  // What waits for the gate: looked at after every wake-up.
  let waiting = [];
  const when = (look) => {
    if (look()) return undefined;
    const { promise, resolve } = deferred();
    waiting[waiting.length] = { look, resolve, owner: share.current };
    return promise;
  };
  share.when = when;
  const lookAround = () => {
    const before = waiting;
    waiting = [];
    for (let n = 0; n < before.length; n++) {
      const entry = before[n];
      entry.look() ? runFor(entry.owner, entry.resolve) : (waiting[waiting.length] = entry);
    }
  };

  // Requests. A handle: what is known of one while it is answered, and as long as waitUntil() keeps it. What few of them
  // need is theirs when they need it.
  const Handle = { ended: false, left: false, listed: false, kept: 0, reader: null, exchanges: null };
  share.isOver = (handle) => handle.ended && handle.kept === 0;
  let worker = null, env = null, kept = 0; // what waitUntil() keeps, of all requests
  const environments = []; // each that a program has: secrets come into them when its machine starts
  share.environment = () => (environments[environments.length] = nk.env());
  const unanswered = []; // that did not end in the call of fetch(): their clients may leave
  class ExecutionContext {
    #handle;
    constructor(handle) { this.#handle = handle; }
    get props() { const value = {}; Object.defineProperty(this, "props", { value, writable: true, enumerable: true, configurable: true }); return value; }
    get cache() { return this.#handle && share.part("caches").context; }
    waitUntil(promise) { keep(this.#handle, promise); }
    passThroughOnException() {}
  }
  const keep = async (handle, promise) => {
    handle.kept++;
    if (kept++ === 0) nk.owes(true);
    try { await promise; } catch (error) { tell("waitUntil", error, handle); }
    if (--kept === 0) nk.owes(false);
    handle.kept--;
    endIfOver(handle);
  };
  const endIfOver = (handle) => { if (handle.exchanges !== null && share.isOver(handle)) share.endExchanges(handle.exchanges); };
  const finish = (handle, complete) => {
    if (handle.ended) return;
    handle.ended = true;
    if (handle.listed) share.again = true; // who still reads the request's body is to know
    nk.end(handle.at, complete);
    if (handle.exchanges !== null) endIfOver(handle);
  };

  const given = (handle, part) => {
    if (part === false) throw new TypeError(handle.left ? "The client has left" : "The request has ended");
    return part === null ? null : new Uint8Array(part);
  };
  const later = async (handle) => {
    let part = false;
    await when(() => handle.ended || (part = nk.read(handle.at)) !== undefined);
    return given(handle, part);
  };
  const bodyOf = (handle) => share.source(() => {
    const part = handle.ended ? false : nk.read(handle.at);
    return part === undefined ? later(handle) : given(handle, part);
  }, () => {});

  // Clients that have left: the request's signal is aborted and the answer's source cancelled, also while it is quiet.
  const lookAtClients = () => {
    let to = 0;
    const gone = [];
    for (let n = 0; n < unanswered.length; n++) {
      const handle = unanswered[n];
      if (handle.ended) continue;
      if (nk.gone(handle.at)) gone[gone.length] = handle;
      else unanswered[to++] = handle;
    }
    unanswered.length = to;
    for (let n = 0; n < gone.length; n++) runFor(gone[n], () => leave(gone[n]));
  };
  const leave = (handle) => {
    const reason = new DOMException("The client has left", "AbortError");
    handle.left = true;
    share.clientLeft(handle.request, reason);
    if (handle.reader !== null) cancel(handle.reader, reason);
    nk.jobs(); // what the worker does at once is done before its exchanges end
    finish(handle, false);
  };
  const cancel = async (source, reason) => { try { await source.cancel(reason); } catch {} }; // a stream, or its reader

  const write = async (handle, bytes) => { // false: nobody wants more
    for (let at = 0; !handle.ended; ) {
      const sent = nk.write(handle.at, bytes, at);
      if (sent < 0) return false; // told by lookAtClients()
      at += sent;
      if (at >= bytes.length) return true;
      let woken = false; // whether more can go is only seen by trying: after a wake-up it is worth it
      await when(() => handle.ended || woken || !(woken = true));
    }
    return false;
  };
  const stream = async (handle, response, source, coding) => {
    handle.reader = source;
    source.taken = true;
    let begun = coding === null; // the head is complete: else the first bytes say whether the body has that coding
    if (begun) nk.write(handle.at, "", 0);
    try {
      for (;;) {
        let part = source.pull();
        if (part instanceof NativePromise) part = await part;
        if (handle.ended) return;
        if (!begun) {
          if (!sayHead(handle, response, source, looksPlain(part ?? [], coding))) return void cancel(source, new TypeError("The response's header fields are too large"));
          nk.write(handle.at, "", 0);
          begun = true;
        }
        if (part === null) break;
        if (!(await write(handle, part))) return;
      }
      finish(handle, true);
    } catch (error) {
      if (handle.ended) return;
      tell("response", error, handle);
      cancel(source, error);
      finish(handle, false);
    }
  };
  const rest = async (handle, bytes) => { if (await write(handle, bytes)) finish(handle, true); };

  // The length is the edge's to say: a worker's holds where there is no body to measure, as in an answer to HEAD. So is a
  // coding that the body does not have: that of an upstream's answer, with a new body.
  const isSpecial = (list) => {
    for (let n = 0; n < list.length; n += 2) if (list[n] === "content-length" || list[n] === "content-encoding") return true;
    return false;
  };
  const fields = (handle, response, raw, plain) => {
    const list = share.listOf(response.headers), head = handle.head || (response.status === 304 && raw === null);
    for (let n = 0; n < list.length; n += 2)
      if ((list[n] === "content-length" && !head) || (list[n] === "content-encoding" && plain)) {
        const kept = [];
        for (let m = 0; m < list.length; m += 2)
          if (!((list[m] === "content-length" && !head) || (list[m] === "content-encoding" && plain))) { kept[kept.length] = list[m]; kept[kept.length] = list[m + 1]; }
        return kept;
      }
    return list;
  };
  const looksPlain = (share.looksPlain = (bytes, coding) => (coding === "gzip" || coding === "x-gzip" ? bytes[0] !== 0x1f || bytes[1] !== 0x8b : coding === "deflate" && ((bytes[0] & 15) !== 8 || ((bytes[0] << 8) | bytes[1]) % 31 !== 0)));
  const codingOf = (response) => {
    const list = share.listOf(response.headers);
    for (let n = 0; n < list.length; n += 2) if (list[n] === "content-encoding") return list[n + 1].toLowerCase();
    return null;
  };
  const sayHead = (handle, response, raw, plain) => {
    const fit = nk.head(handle.at, response.status || 500, fields(handle, response, raw, plain)) !== false;
    if (!fit) failed(handle, TOO_LARGE);
    return fit;
  };
  const respondInParts = (handle, response, raw, coding) => {
    const { wire } = raw;
    let body = raw, same = coding === null;
    if (!same && wire && wire.coding === coding) { body = wire.source; same = true; } // as it came
    if (!handle.head) {
      if (same && !sayHead(handle, response, body, false)) return void cancel(body, new TypeError("The response's header fields are too large"));
      return void stream(handle, response, share.sourceFrom(body), same ? null : coding);
    }
    if (sayHead(handle, response, raw, false)) finish(handle, true);
    cancel(body, new DOMException("HEAD has no body", "AbortError"));
  };
  const respond = (handle, response) => {
    if (!(response instanceof Response)) return failed(handle, `uncaught: TypeError: Incorrect type for Promise: the Promise did not resolve to 'Response'.`);
    if (response.webSocket !== null) return giveSocket(handle, response);
    if (share.unusable(response)) return failed(handle, "uncaught: TypeError: Body has already been used, or is locked. It can only be used once. Use tee() first if you need to read it twice.");
    const raw = share.takeRaw(response);
    const inParts = raw !== null && typeof raw === "object" && !(raw instanceof Uint8Array);
    if (handle.ended) { // the client has left
      if (inParts) cancel(raw, new DOMException("The client has left", "AbortError"));
      return;
    }
    if (inParts) return respondInParts(handle, response, raw, codingOf(response));
    const list = share.listOf(response.headers);
    if (!isSpecial(list)) {
      if (nk.head(handle.at, response.status || 500, list) === false) return failed(handle, TOO_LARGE);
    } else {
      const coding = codingOf(response);
      if (!sayHead(handle, response, raw, coding !== null && raw !== null && (typeof raw === "string" || looksPlain(raw, coding)))) return;
    }
    if (raw === null || raw === "") return finish(handle, true);
    if (typeof raw === "string" && raw.length <= WHOLE_MAX) {
      nk.write(handle.at, raw, 0);
      return finish(handle, true);
    }
    const bytes = typeof raw === "string" ? nk.encode(raw) : raw;
    const sent = nk.write(handle.at, bytes, 0);
    if (sent === bytes.length || sent < 0) return finish(handle, true);
    rest(handle, bytes.subarray(sent));
  };
  const giveSocket = (handle, response) => {
    const sockets = share.part("sockets"), half = response.webSocket;
    if (handle.ended) return;
    try { sockets.give(handle, half); } catch (error) { return failed(handle, `uncaught: ${show(error)}`); }
    if (nk.head(handle.at, 101, share.listOf(response.headers)) === false) return failed(handle, TOO_LARGE);
    finish(handle, true);
    sockets.begin(half);
  };
  share.hold = (handle) => { handle.kept++; }; // beyond its request's end
  share.release = (handle) => { handle.kept--; endIfOver(handle); };
  share.runFor = runFor;
  for (const name of ["WebSocket", "WebSocketPair", "CloseEvent"]) share.lazyGlobal(name, "sockets");
  for (const name of ["caches", "Cache", "CacheStorage"]) share.lazyGlobal(name, "caches");
  const failed = (handle, why) => {
    say(why, handle);
    if (handle.ended) return;
    nk.head(handle.at, 500, ["content-type", "text/plain;charset=UTF-8"]);
    nk.write(handle.at, "Internal Server Error", 0);
    finish(handle, true);
  };
  const answer = (handle, response) => {
    try { respond(handle, response); } catch (error) { tell("uncaught", error, handle); finish(handle, false); }
    if (!handle.ended && !handle.listed) list(handle);
  };
  const list = (handle) => { handle.listed = true; unanswered[unanswered.length] = handle; };
  const settle = async (handle, promise) => {
    let response;
    list(handle);
    try { response = await promise; } catch (error) { return failed(handle, `uncaught: ${show(error)}`); }
    answer(handle, response);
  };

  // What a weak reference was made of, or gave, stays until the turn ends (ECMA-262, section 9.9.4.2); the engine alone
  // would free it at once.
  const held = new Set(), { WeakRef: Weak } = globalThis;
  class WeakRef extends Weak {
    constructor(target) { super(target); held.add(target); }
    deref() {
      const target = super.deref();
      if (target !== undefined) held.add(target);
      return target;
    }
  }
  expose({ WeakRef });

  const rejections = new Map(), told = new WeakSet(), handledLate = [];
  globalThis.__rejected = (promise, reason, handled) => {
    if (!handled) rejections.set(promise, [reason, share.current]);
    else if (!rejections.delete(promise) && told.has(promise)) handledLate[handledLate.length] = [promise, reason];
  };

  globalThis.__loop = {
    setWorker(namespace) {
      worker = namespace.default;
      if (worker === undefined || typeof worker?.fetch !== "function")
        throw new TypeError("a worker must `export default { async fetch(request, env, ctx) { ... } }`");
      env = share.environment();
      tellRejections();
      held.clear();
      if (timers.length) early = nk.mono();
    },
    takeSecrets() {
      const secrets = nk.secrets();
      for (const environment of environments) try { Object.assign(environment, secrets); } catch (error) { nk.log(`secrets: ${show(error)}`); }
    },
    onRequest(at) {
      const about = (share.request = nk.about(at));
      if (about[0] === "SOCKET" && share.part("sockets").hear(at)) return;
      const request = new Request(share.incoming, about), method = about[0];
      const handle = { __proto__: Handle, at, request, head: method === "HEAD" };
      if (method !== "GET" && method !== "HEAD") share.setRaw(request, bodyOf(handle));
      share.current = handle; // for what is due after this call, too
      let response;
      try { response = worker.fetch(request, env, new ExecutionContext(handle)); } catch (error) { return failed(handle, `uncaught: ${show(error)}`); }
      if (response instanceof Response) return answer(handle, response);
      const now = nk.settled(response); // an async function that did not wait
      if (now instanceof Response && response.constructor === NativePromise) return answer(handle, now);
      settle(handle, response);
    },
    poll() {
      if (held.size) held.clear();
      share.current = null;
      share.again = false;
      if (unanswered.length) lookAtClients();
      if (waiting.length) lookAround();
      if (share.exchanges) share.makePlaces();
    },
    outOfTime(stack) { say(`out of time: the CPU time of a request is used up\n${stack}`, share.current); },
    runTimers() {
      if (rejections.size) tellRejections();
      if (timers.length) runTimers();
      if (rejections.size || handledLate.length) tellRejections();
      if (share.again) return 0;
      const ms = timers.length ? Math.max(0, timers[0].at - nk.mono()) : -1;
      return unanswered.length && (ms < 0 || ms > LOOK_MS) ? LOOK_MS : ms;
    },
  };
  const tellRejections = () => {
    const events = share.globalTarget;
    for (const [promise, [reason, owner]] of rejections) {
      told.add(promise);
      const init = { promise, reason, cancelable: true };
      if (!share.listens(events, "unhandledrejection") || share.fire(events, new PromiseRejectionEvent("unhandledrejection", init))) tell("unhandled rejection", reason, owner);
    }
    rejections.clear();
    for (const [promise, reason] of handledLate.splice(0))
      if (share.listens(events, "rejectionhandled")) share.fire(events, new PromiseRejectionEvent("rejectionhandled", { promise, reason }));
  };
  delete globalThis.__nk;
})();
