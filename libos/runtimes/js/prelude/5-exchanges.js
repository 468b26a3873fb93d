// fetch: exchanges over the gate. The edge lets them reach only what the image names (`nunatak build --upstream`). Each is
// somebody's: it ends with the request that it was begun for, unless waitUntil() keeps that; see `6-loop.js` for `current`.
"use strict";
(() => {
  const share = globalThis.__share;
  const { expose, nk, Request } = share;
  const NativePromise = Promise;
  const FIELDS_MAX = 15 << 10; // bytes: a record holds them beside method and URL
  const HELD_MAX = 256 << 10; // bytes of an answer that nobody reads, held while others wait for its place
  const CODINGS = ["gzip", "x-gzip", "deflate"]; // that answers are decoded of
  const REDIRECTS = [301, 302, 303, 307, 308];
  const CREDENTIALS = ["authorization", "cookie", "proxy-authorization"]; // not for another origin (Fetch, HTTP-redirect fetch)
  const OF_BODIES = ["content-encoding", "content-language", "content-location", "content-type"]; // as there

  const open = []; // that have one of the machine's places, oldest first
  const queue = []; // that wait for one
  share.exchanges = 0; // that are not over
  const strays = []; // begun when nobody was there whom they could end with: what nobody reads of these is taken in

  const drop = (list, item) => { // no method of a prototype that a worker may have patched
    let to = 0;
    for (let n = 0; n < list.length; n++) if (list[n] !== item) list[to++] = list[n];
    list.length = to;
  };
  const adopt = (exchange) => {
    const owner = share.current;
    const list = owner !== null && !share.isOver(owner) ? (owner.exchanges ??= []) : strays;
    list[list.length] = exchange;
    return list;
  };

  class Exchange {
    up = 0; over = false; reason = null; // of its end, for who waits
    sources = null; // of the answer's body, once there is an answer: as it came, and as it is read
    #parts = []; #held = 0; #whole = false; // what was taken in before it was asked for
    #signal; #abort; #among;
    constructor(signal) {
      this.#signal = signal;
      this.#among = adopt(this);
      share.exchanges++;
      if (signal !== null) share.onAbort(signal, (this.#abort = () => this.end(signal.reason)));
    }
    end(reason) {
      if (this.over) return;
      this.over = true;
      this.reason = reason;
      if (this.#signal !== null) share.offAbort(this.#signal, this.#abort);
      drop(this.#among, this);
      share.exchanges--;
      if (this.up) nk.upClose(this.up);
      drop(open, this);
      drop(queue, this);
      share.again = true; // who waits for this one, or for its place, looks again
    }
    async wait(look) { // until it is so; throws when the exchange ends before
      await share.when(() => this.over || look());
      if (this.over) throw this.reason;
    }
    failure() {
      const why = nk.upError(this.up);
      this.end(new TypeError(`fetch failed: ${why ?? "the connection was lost"}`));
      return this.reason;
    }
    begin(method, url, block, hasBody) { // in its turn, when there is a place
      queue[queue.length] = this;
      return this.wait(() => {
        if (queue[0] !== this) return false;
        this.up = nk.upOpen(method, url, block, hasBody);
        if (!this.up && open.length) return false;
        drop(queue, this);
        if (this.up) open[open.length] = this;
        else this.end(new TypeError("fetch failed: no memory for it")); // nobody's end would help
        return true;
      });
    }
    async send(bytes, last) {
      for (let at = 0; ; ) {
        if (this.over) throw this.reason;
        const sent = nk.upWrite(this.up, bytes, at, last);
        if (sent < 0) throw this.failure();
        at += sent;
        if (at >= bytes.length) return;
        let woken = false;
        await this.wait(() => woken || !(woken = true)); // with the next wake-up
      }
    }
    async upload(source) { // beside the answer, which may come before it is complete
      source.taken = true;
      try {
        for (;;) {
          const part = await source.pull();
          await this.send(part ?? new Uint8Array(0), part === null);
          if (part === null) return;
        }
      } catch (error) {
        this.end(error);
        quietly(source.cancel(error));
      }
    }
    async answer() {
      await this.wait(() => nk.upStatus(this.up) !== -2);
      const status = nk.upStatus(this.up);
      if (status < 0) throw this.failure();
      const list = nk.upFields(this.up);
      for (let n = 0; n < list.length; n += 2) list[n] = list[n].toLowerCase();
      return [status, list];
    }
    body(coding) {
      const source = share.source(() => this.#pull(), (reason) => this.end(reason));
      this.sources = [source];
      if (!CODINGS.includes(coding)) return source;
      return (this.sources[1] = decoded(source, coding));
    }
    #pull() {
      let part = this.#parts.length ? this.#parts.shift() : this.#whole ? null : undefined;
      if (part === undefined) {
        if (this.over) throw this.reason;
        if ((part = nk.upRead(this.up)) === undefined) return this.#later();
      }
      return this.#given(part);
    }
    async #later() {
      let part;
      await this.wait(() => (part = nk.upRead(this.up)) !== undefined);
      return this.#given(part);
    }
    #given(part) {
      if (part === false) throw this.failure();
      if (part !== null) return new Uint8Array(part);
      this.end(null);
      return null;
    }
    get idle() { // nobody reads
      if (this.sources === null) return false;
      for (let n = 0; n < this.sources.length; n++) if (this.sources[n].taken || this.sources[n].stream?.locked) return false;
      return true;
    }
    hold() { // takes in what has come, so that its place becomes free; whether it cannot hold more
      for (let part; this.#held < HELD_MAX && (part = nk.upRead(this.up)) !== undefined && part !== false; ) {
        if (part === null) { this.#whole = true; this.end(null); return false; }
        this.#parts[this.#parts.length] = part;
        this.#held += part.byteLength;
      }
      return this.#held >= HELD_MAX;
    }
  }

  const unread = () => new TypeError("fetch failed: its body was not read, and its place is needed");

  // Called in every turn: answers that nobody reads must not keep others from being asked for.
  share.makePlaces = () => {
    if (strays.length) for (const exchange of [...strays]) if (exchange.idle && exchange.hold()) exchange.end(unread());
    if (queue.length === 0) return;
    let oldest = null, asked = 0;
    for (const exchange of [...open]) {
      if (exchange.sources === null) asked++;
      else if (exchange.idle && exchange.hold()) oldest ??= exchange;
    }
    if (oldest !== null && asked === 0) oldest.end(unread());
  };
  share.endExchanges = (list) => {
    const reason = new TypeError("fetch failed: the request that it was begun for has ended");
    for (const exchange of [...list]) exchange.end(reason);
  };

  // Of the codings that a browser would take, those that can be taken apart here (RFC 9110, section 12.5.3).
  const acceptable = (value) => value.split(",").filter((one) => [...CODINGS, "identity"].includes(one.split(";")[0].trim().toLowerCase())).join(",").trim() || "identity";
  const decoded = (inner, coding) => {
    let part = null, empty = true;
    const state = nk.inflater(coding !== "deflate");
    const more = (out, next) => { // whether there is any
      if (next === null && out !== null && !empty) throw new TypeError("fetch failed: a compressed body broke off");
      if (next === null) return false;
      part = next.buffer;
      empty &&= next.length === 0;
      return true;
    };
    const pull = () => {
      for (;;) {
        const out = nk.inflate(state, part);
        part = null;
        if (out) return new Uint8Array(out);
        const next = inner.pull();
        if (next instanceof NativePromise) return later(out, next);
        if (!more(out, next)) return null;
      }
    };
    const later = async (out, next) => (more(out, await next) ? pull() : null);
    const source = share.source(pull, (reason) => inner.cancel(reason));
    source.wire = { coding, source: inner };
    return source;
  };

  const without = (headers, names) => {
    const left = [];
    for (let n = 0; n < headers.length; n += 2) if (!names.includes(headers[n])) left.push(headers[n], headers[n + 1]);
    return left;
  };
  const block = (headers) => {
    let text = "";
    for (let n = 0; n < headers.length; n += 2)
      if (headers[n] !== "content-length" && headers[n] !== "host")
        text += headers[n] + "\0" + (headers[n] === "accept-encoding" ? acceptable(headers[n + 1]) : headers[n + 1]) + "\0";
    const bytes = nk.encode(text + "\0\0");
    if (bytes.length > FIELDS_MAX) throw new TypeError(`fetch failed: at most ${FIELDS_MAX} bytes of header fields expected, got ${bytes.length}`);
    return bytes;
  };
  const quietly = async (promise) => { try { await promise; } catch {} };
  const isSource = (raw) => raw !== null && typeof raw === "object" && raw.pull !== undefined;
  const ask = async (method, url, headers, raw, signal) => {
    const fields = block(headers), exchange = new Exchange(signal);
    await exchange.begin(method, url, fields, raw !== null);
    if (isSource(raw)) exchange.upload(raw);
    else if (raw !== null) await exchange.send(typeof raw === "string" ? nk.encode(raw) : raw, true);
    return exchange;
  };
  share.ask = ask; // for what the edge answers itself: lazy/caches.js

  // The reason phrases of RFC 9110, section 15: an upstream's own does not come through the gate.
  const TEXTS = { 100: "Continue", 101: "Switching Protocols", 200: "OK", 201: "Created", 202: "Accepted", 203: "Non-Authoritative Information", 204: "No Content", 205: "Reset Content", 206: "Partial Content", 300: "Multiple Choices", 301: "Moved Permanently", 302: "Found", 303: "See Other", 304: "Not Modified", 307: "Temporary Redirect", 308: "Permanent Redirect", 400: "Bad Request", 401: "Unauthorized", 402: "Payment Required", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed", 406: "Not Acceptable", 408: "Request Timeout", 409: "Conflict", 410: "Gone", 411: "Length Required", 412: "Precondition Failed", 413: "Content Too Large", 414: "URI Too Long", 415: "Unsupported Media Type", 416: "Range Not Satisfiable", 417: "Expectation Failed", 421: "Misdirected Request", 422: "Unprocessable Content", 426: "Upgrade Required", 429: "Too Many Requests", 500: "Internal Server Error", 501: "Not Implemented", 502: "Bad Gateway", 503: "Service Unavailable", 504: "Gateway Timeout", 505: "HTTP Version Not Supported" };

  share.phrase = (status) => TEXTS[status] ?? "";

  // A URL's user and password are not sent as part of it, but as the field that they stand for.
  const anonymous = (url, headers) => {
    if (!url.includes("@")) return [url, headers];
    const parsed = new URL(url), { username, password } = parsed;
    if (username === "" && password === "") return [url, headers];
    parsed.username = parsed.password = "";
    for (let n = 0; n < headers.length; n += 2) if (headers[n] === "authorization") return [parsed.href, headers];
    let bytes = "";
    for (const byte of nk.encode(`${decodeURIComponent(username)}:${decodeURIComponent(password)}`)) bytes += String.fromCharCode(byte);
    return [parsed.href, [...headers, "authorization", `Basic ${btoa(bytes)}`]];
  };
  const withoutFragment = (url) => { const at = url.indexOf("#"); return at < 0 ? url : url.slice(0, at); };

  const fetch = async (input, init = undefined) => {
    share.onlyServing("fetch()");
    const request = new Request(input, init), signal = share.signalOf(request);
    if (signal?.aborted) throw signal.reason;
    let { method } = request, raw = share.takeRaw(request);
    if (raw instanceof ReadableStream) raw = share.sourceFrom(raw);
    const local = /^(?:data|blob):/.exec(request.url);
    if (local) return share.part("local-urls").answer(request);
    let [url, headers] = anonymous(request.url, share.listOf(request.headers));
    for (let hops = 0; ; hops++) {
      const exchange = await ask(method, withoutFragment(url), headers, raw, signal);
      const [status, list] = await exchange.answer();
      const answer = share.fetchedResponse(status, share.phrase(status), list, withoutFragment(url), hops > 0);
      const location = REDIRECTS.includes(status) ? share.fieldOf(answer.headers, "location") : null;
      if (location === null || request.redirect === "manual") {
        if (!(method === "HEAD" || status === 204 || status === 205 || status === 304)) share.setRaw(answer, exchange.body(share.fieldOf(answer.headers, "content-encoding"))); else exchange.end(null);
        return answer;
      }
      exchange.end(null);
      if (request.redirect === "error") throw new TypeError("fetch failed: no redirect expected, got one");
      if (hops >= 20) throw new TypeError("fetch failed: at most 20 redirects expected");
      if (isSource(raw) && status !== 303) throw new TypeError("fetch failed: a body that was streamed cannot be sent again");
      const next = new URL(location, url);
      if (next.hash === "" && url.includes("#")) next.hash = new URL(url).hash;
      if (next.origin !== new URL(url).origin) headers = without(headers, CREDENTIALS); // they were meant for another
      [url, headers] = anonymous(next.href, headers);
      if (status === 303 ? method !== "HEAD" && method !== "GET" : (status === 301 || status === 302) && method === "POST") {
        method = "GET"; raw = null;
        headers = without(headers, OF_BODIES);
      }
    }
  };
  expose({ fetch });
})();
