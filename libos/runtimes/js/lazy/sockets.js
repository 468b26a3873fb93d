// WebSockets as workerd has them on the side of a server: a pair, of which one half goes to the client with a response and
// the other is accepted here. The edge holds what is between the client and its half: a machine that is parked knows its
// sockets by their numbers when something comes of one. `nk.socket` is sockets.c.
export default (share) => {
  const { nk, bytesOf, concat } = share;
  const { Event, EventTarget, MessageEvent, DOMException, Blob, structuredClone } = globalThis;
  const NativePromise = Promise;
  const TEXT = 1, BINARY = 2, CLOSE = 8; // SOCKET_* of the gate
  const WINDOW = 1 << 16; // bytes that a client has not taken
  const HELD_MAX = 4 << 20; // bytes that wait for a client to take others, beyond which its socket is closed
  const REASON_MAX = 123, LOST = 1006, NO_CODE = 1005, TRY_AGAIN = 1013;

  class CloseEvent extends Event {
    #about;
    constructor(type, { code = 0, reason = "", wasClean = false, ...options } = {}) { super(type, options); this.#about = { code, reason, wasClean }; }
    get code() { return this.#about.code; }
    get reason() { return this.#about.reason; }
    get wasClean() { return this.#about.wasClean; }
  }
  const fire = (socket, event) => {
    const handler = socket[`on${event.type}`];
    if (typeof handler === "function") try { handler.call(socket, event); } catch (error) { globalThis.reportError(error); }
    socket.dispatchEvent(event);
  };

  // What lies between a half that was given away and its client, which may be a while ahead or behind.
  const wires = { __proto__: null }; // by number
  let known = null; // the lineage that they are of: with another the edge has none of them any more
  class Wire {
    sent = 0; taken = 0; held = 0; at = 0; // bytes; `at`: of the first message that waits
    waiting = []; // [kind, bytes]
    constructor(number, owner, far) { this.number = number; this.owner = owner; this.far = far; }
    put(kind, bytes) {
      if (this.held > HELD_MAX && kind !== CLOSE) return this.overflow();
      this.waiting.push([kind, bytes]);
      if (kind !== CLOSE) this.held += bytes.length;
      this.pump();
    }
    pump() {
      while (this.waiting.length) {
        const [kind, bytes] = this.waiting[0], room = WINDOW - (this.sent - this.taken), left = bytes.length - this.at;
        if (kind === CLOSE) { nk.socket.send(this.number, kind, bytes, 0, bytes.length, true); this.waiting = []; return; }
        if (left > room && room <= 0) return;
        const size = left < room ? left : room;
        nk.socket.send(this.number, kind, bytes, this.at, this.at + size, size === left);
        this.sent += size;
        this.held -= size;
        this.at += size;
        if (size < left) return;
        this.waiting.shift();
        this.at = 0;
      }
    }
    overflow() {
      this.waiting = [[CLOSE, closing(TRY_AGAIN, "the client reads too slowly")]];
      this.at = this.held = 0;
      this.pump();
    }
    end() {
      delete wires[this.number];
      share.release(this.owner);
    }
  }
  const closing = (code, reason) => {
    const text = nk.encode(reason), bytes = new Uint8Array(2 + text.length);
    bytes[0] = code & 255;
    bytes[1] = code >> 8;
    bytes.set(text, 2);
    return bytes;
  };
  const mayBeSent = (code) => (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) || (code >= 3000 && code <= 4999);

  const made = Symbol("by a pair");
  class WebSocket extends EventTarget {
    #peer = null; #wire = null; #accepted = false; #inbox = []; // what the other half said, for whom this half is of
    #closedHere = false; #closedThere = false; #attachment = null;
    binaryType = "arraybuffer";
    constructor(url) {
      super();
      if (url !== made) throw new TypeError("WebSocket: a client's socket is taken with WebSocketPair; this edge opens none to others");
    }
    static _pair() {
      const a = new WebSocket(made), b = new WebSocket(made);
      a.#peer = b;
      b.#peer = a;
      return [a, b];
    }
    accept() {
      if (this.#wire) throw new TypeError("Can't accept() WebSocket when it was already used in a response.");
      if (this.#accepted) return;
      this.#accepted = true;
      share.again = true;
      this.#later();
    }
    send(data) {
      if (!this.#accepted) throw new TypeError("You must call accept() on this WebSocket before sending messages.");
      if (this.#closedHere) throw new TypeError("Can't call WebSocket send() after close().");
      if (this.#closedThere) return;
      const bytes = bytesOf(data);
      this.#peer.#put(bytes ? [BINARY, bytes.slice()] : [TEXT, nk.encode(String(data).toWellFormed())]);
    }
    close(code, reason) {
      if (!this.#accepted) throw new TypeError("You must call accept() on this WebSocket before sending messages.");
      const number = code === undefined ? NO_CODE : Math.trunc(Number(code)), why = reason === undefined ? "" : String(reason).toWellFormed();
      if (code !== undefined && !mayBeSent(number)) throw new DOMException(`Invalid WebSocket close code: ${code}.`, "InvalidAccessError");
      if (why && code === undefined) throw new TypeError("If you specify a WebSocket close reason, you must also specify a code.");
      if (nk.encode(why).length > REASON_MAX) throw new DOMException(`A WebSocket close reason of at most ${REASON_MAX} bytes expected`, "SyntaxError");
      if (this.#closedHere) return;
      this.#closedHere = true;
      this.#peer.#put([CLOSE, { code: number, reason: why, wasClean: true }]);
    }
    serializeAttachment(value) { this.#attachment = structuredClone(value); }
    deserializeAttachment() { return structuredClone(this.#attachment); }
    get readyState() { return this.#closedHere && this.#closedThere ? 3 : this.#closedHere || this.#closedThere ? 2 : 1; }
    get bufferedAmount() { return this.#peer.#wire ? this.#peer.#wire.held : 0; }
    get url() { return null; }
    get protocol() { return ""; }
    get extensions() { return ""; }
    get [Symbol.toStringTag]() { return "WebSocket"; }

    // What is said to this half: to its client, to its listeners, or kept until it is known which.
    #put(item) {
      this.#inbox.push(item);
      if (this.#wire) this.#forward();
      else if (this.#accepted) this.#later();
    }
    #forward() {
      const items = this.#inbox;
      this.#inbox = [];
      for (const [kind, value] of items) this.#wire.put(kind, kind !== CLOSE ? value : value.code === NO_CODE ? closing(0, "") : closing(value.code, value.reason));
    }
    async #later() { // between two of this machine there is no event to wait for
      await null;
      this.#hear();
    }
    #hear() {
      while (this.#accepted && this.#inbox.length) {
        const [kind, value, failed] = this.#inbox.shift();
        if (kind === TEXT) fire(this, new MessageEvent("message", { data: nk.decode(value) }));
        else if (kind === BINARY) fire(this, new MessageEvent("message", { data: this.binaryType === "blob" ? new Blob([value]) : value.slice().buffer }));
        else this.#hearClose(value, failed);
      }
    }
    #hearClose(about, failed) {
      if (this.#closedThere) return;
      this.#closedThere = true;
      if (!this.#closedHere) { // answered, as a browser does
        this.#closedHere = true;
        if (!this.#peer.#wire) this.#peer.#put([CLOSE, about]);
      }
      if (failed) fire(this, new Event("error"));
      fire(this, new CloseEvent("close", about));
    }
    static _give(half, number, owner) { // to the client of a request
      if (!(half instanceof WebSocket)) throw new TypeError("Response: a WebSocket of a WebSocketPair expected");
      if (half.#wire || half.#accepted) throw new TypeError("Can't return WebSocket in a Response if it was already used or accept() was called.");
      half.#wire = wires[number] = new Wire(number, owner, half.#peer);
    }
    static _begin(half) { half.#forward(); }
    static _hear(half, item) { // what came of its client
      half.#inbox.push(item);
      half.#hear();
    }
  }
  for (const [name, value] of Object.entries({ READY_STATE_CONNECTING: 0, READY_STATE_OPEN: 1, READY_STATE_CLOSING: 2, READY_STATE_CLOSED: 3, CONNECTING: 0, OPEN: 1, CLOSING: 2, CLOSED: 3 })) {
    Object.defineProperty(WebSocket, name, { value, enumerable: true });
    Object.defineProperty(WebSocket.prototype, name, { value, enumerable: true });
  }
  for (const type of ["open", "message", "close", "error"]) {
    const handlers = new WeakMap();
    Object.defineProperty(WebSocket.prototype, `on${type}`, {
      get() { return handlers.get(this) ?? null; },
      set(handler) { handlers.set(this, handler); },
      enumerable: true, configurable: true,
    });
  }
  function WebSocketPair() { // with or without new, as there
    const [a, b] = WebSocket._pair();
    return Object.setPrototypeOf({ 0: a, 1: b }, WebSocketPair.prototype);
  }
  Object.defineProperty(WebSocketPair.prototype, Symbol.iterator, { value() { return [this[0], this[1]][Symbol.iterator](); } });

  // A response with half of a pair; what it says when it cannot be given.
  const give = (handle, half) => {
    const offer = nk.socket.offered(handle.at);
    if (offer === null) throw new TypeError('Worker tried to return WebSocket in a response to a request which did not contain the header "Upgrade: websocket".');
    learn(offer[1]);
    WebSocket._give(half, offer[0], handle);
    share.hold(handle);
  };
  const learn = (lineage) => {
    if (known === lineage) return;
    known = lineage;
    for (const number in wires) lose(wires[number], { code: LOST, reason: "", wasClean: false }, true);
  };
  const lose = (wire, about, failed) => {
    wire.end();
    share.runFor(wire.owner, () => WebSocket._hear(wire.far, [CLOSE, about, failed]));
  };

  // Something has come of a socket, as a request; false when it is an ordinary one.
  const hear = (at) => {
    const told = nk.socket.event(at);
    if (told === null) return false;
    const parts = [];
    const [number, lineage] = told;
    learn(lineage);
    take(at, told, parts, wires[number]);
    return true;
  };
  const take = async (at, told, parts, wire) => { // all of its body first
    let size = 0;
    for (;;) {
      let part = nk.read(at);
      if (part === undefined) await share.when(() => (part = nk.read(at)) !== undefined);
      if (part === null) break;
      if (part === false) return nk.end(at, false);
      parts.push(new Uint8Array(part));
      size += part.byteLength;
    }
    if (wire !== undefined && wires[wire.number] === wire) tell(wire, told, parts.length === 1 ? parts[0] : concat(parts, size));
    nk.end(at, true);
  };
  const tell = (wire, [, , what, taken, code, clean], bytes) => {
    wire.taken = taken;
    wire.pump();
    if (what === "close" || what === "error") lose(wire, { code, reason: nk.decode(bytes), wasClean: clean }, what === "error");
    else if (what !== "taken") share.runFor(wire.owner, () => WebSocket._hear(wire.far, [what === "text" ? TEXT : BINARY, bytes]));
  };

  return { WebSocket, WebSocketPair, CloseEvent, give, hear, begin: WebSocket._begin };
};
