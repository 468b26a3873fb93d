// fetch: exchanges over the gate. The edge lets them reach only what the image names (`nunatak build --upstream`). Each is
// somebody's: it ends with the request that it was begun for, unless waitUntil() keeps that; see `6-loop.js` for `current`.
"use strict";
(() => {
  const share = globalThis.__share;
  const { expose, bytesOf, nk, Request, Response } = share;
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
    streams = null; // the answer's body, once there is an answer: as it came, and as it is read
    #parts = []; #held = 0; #whole = false; // what was taken in before it was asked for
    #signal; #abort; #among;
    constructor(signal) {
      this.#signal = signal;
      this.#among = adopt(this);
      share.exchanges++;
      signal.addEventListener("abort", (this.#abort = () => this.end(signal.reason)));
    }
    end(reason) {
      if (this.over) return;
      this.over = true;
      this.reason = reason;
      this.#signal.removeEventListener("abort", this.#abort);
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
    async upload(body) { // beside the answer, which may come before it is complete
      const reader = body.getReader();
      try {
        for (;;) {
          const { value, done } = await reader.read();
          const bytes = done ? new Uint8Array(0) : typeof value === "string" ? nk.encode(value) : bytesOf(value);
          if (!bytes) throw new TypeError("fetch failed: bytes expected in a request's body");
          await this.send(bytes, done);
          if (done) return;
        }
      } catch (error) {
        this.end(error);
        reader.cancel(error).catch(() => {});
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
      const stream = new ReadableStream({
        pull: (controller) => this.#pull(controller),
        cancel: (reason) => this.end(reason),
      }, { highWaterMark: 0 });
      this.streams = [stream];
      if (!CODINGS.includes(coding)) return stream;
      return (this.streams[1] = decoded(stream, coding));
    }
    async #pull(controller) {
      let part = this.#parts.length ? this.#parts.shift() : this.#whole ? null : undefined;
      if (part === undefined) {
        if (this.over) throw this.reason;
        await this.wait(() => (part = nk.upRead(this.up)) !== undefined);
      }
      if (part === false) throw this.failure();
      if (part !== null) return controller.enqueue(new Uint8Array(part));
      this.end(null);
      controller.close();
    }
    get idle() { return this.streams !== null && !this.streams[0].locked && this.streams[1]?.locked !== true; } // nobody reads
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
      if (exchange.streams === null) asked++;
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
  const decoded = (stream, coding) => {
    let reader = null, part = null, empty = true;
    const state = nk.inflater(coding !== "deflate");
    const body = new ReadableStream({
      async pull(controller) {
        reader ??= stream.getReader();
        for (;;) {
          const out = nk.inflate(state, part);
          part = null;
          if (out) return controller.enqueue(new Uint8Array(out));
          const { value, done } = await reader.read();
          if (done && out !== null && !empty) throw new TypeError("fetch failed: a compressed body broke off");
          if (done) return controller.close();
          part = value.buffer;
          empty &&= value.length === 0;
        }
      },
      cancel: (reason) => (reader ?? stream).cancel(reason),
    }, { highWaterMark: 0 });
    body._wire = { coding, stream };
    return body;
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
  const ask = async (method, url, headers, raw, signal) => {
    const fields = block(headers), exchange = new Exchange(signal);
    await exchange.begin(method, url, fields, raw !== null);
    if (raw instanceof ReadableStream) exchange.upload(raw);
    else if (raw !== null) await exchange.send(typeof raw === "string" ? nk.encode(raw) : raw, true);
    return exchange;
  };

  const fetch = async (input, init) => {
    share.onlyServing("fetch()");
    const request = new Request(input, init);
    if (request.bodyUsed) throw new TypeError("Body has already been used.");
    let { url, method } = request, raw = request._stream ?? request._raw;
    let headers = request.headers._list;
    if (request.signal.aborted) throw request.signal.reason;
    request._used = raw !== null;
    for (let hops = 0; ; hops++) {
      const exchange = await ask(method, url, headers, raw, request.signal);
      const [status, list] = await exchange.answer();
      const answer = Response._of(status, list, url, hops > 0);
      const location = REDIRECTS.includes(status) ? answer.headers.get("location") : null;
      if (location === null || request.redirect === "manual") {
        if (!(method === "HEAD" || status === 204 || status === 304)) answer._raw = exchange.body(answer.headers.get("content-encoding")); else exchange.end(null);
        return answer;
      }
      exchange.end(null);
      if (request.redirect === "error") throw new TypeError("fetch failed: no redirect expected, got one");
      if (hops >= 20) throw new TypeError("fetch failed: at most 20 redirects expected");
      if (raw instanceof ReadableStream && status !== 303) throw new TypeError("fetch failed: a body that was streamed cannot be sent again");
      const next = new URL(location, url);
      if (next.origin !== new URL(url).origin) headers = without(headers, CREDENTIALS); // they were meant for another
      url = next.href;
      if (status === 303 ? method !== "HEAD" : (status === 301 || status === 302) && method === "POST") {
        method = "GET"; raw = null;
        headers = without(headers, OF_BODIES);
      }
    }
  };
  expose({ fetch });
})();
