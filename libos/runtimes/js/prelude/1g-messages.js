// Messages between ports of one machine (HTML, section 9.4): each is a task of its own, after what is under way.
"use strict";
(() => {
  const share = globalThis.__share, { text, options } = share;

  class MessageEvent extends Event {
    #data; #origin; #lastEventId; #source; #ports;
    constructor(type, init = undefined) {
      super(type, init);
      const { data = null, origin = "", lastEventId = "", source = null, ports = [] } = options(init, "MessageEvent");
      this.#data = data;
      this.#origin = text(origin);
      this.#lastEventId = `${lastEventId}`;
      this.#source = source;
      this.#ports = Object.freeze([...ports]);
    }
    get data() { return this.#data; }
    get origin() { return this.#origin; }
    get lastEventId() { return this.#lastEventId; }
    get source() { return this.#source; }
    get ports() { return this.#ports; }
  }

  let made = false;
  class MessagePort extends EventTarget {
    #other = null; #queue = []; #started = false; #closed = false; #due = false;
    constructor() {
      if (!made) throw new TypeError("Illegal constructor");
      super();
    }
    static {
      const port = () => { made = true; try { return new MessagePort(); } finally { made = false; } };
      share.ports = () => {
        const one = port(), two = port();
        one.#other = two;
        two.#other = one;
        return [one, two];
      };
      share.transferable.push([MessagePort, (from) => {
        if (from.#closed) throw new DOMException("A closed MessagePort could not be cloned.", "DataCloneError");
        const to = port();
        return [to, () => {
          to.#other = from.#other;
          to.#queue = from.#queue;
          if (to.#other !== null) to.#other.#other = to;
          from.#other = null;
          from.#queue = [];
          from.#closed = true;
        }];
      }]);
    }
    postMessage(message, more = undefined) {
      share.need(arguments.length, 1, "postMessage()");
      const transfer = typeof more === "object" && more !== null ? [...(more[Symbol.iterator] ? more : more.transfer ?? [])] : [];
      if (transfer.includes(this)) throw new DOMException("A port cannot be sent over itself.", "DataCloneError");
      const [data, moved] = share.clone(message, transfer);
      if (this.#other === null) return;
      this.#other.#queue.push([data, moved.filter((one) => one instanceof MessagePort)]);
      this.#other.#deliver();
    }
    #deliver() {
      if (!this.#started || this.#due || this.#queue.length === 0) return;
      this.#due = true;
      share.setTimer(() => {
        this.#due = false;
        const next = this.#queue.shift();
        if (next === undefined) return;
        this.#deliver();
        share.fire(this, new MessageEvent("message", { data: next[0], ports: next[1] }));
      }, 0, [], false);
    }
    start() { this.#started = true; this.#deliver(); }
    close() {
      this.#closed = true;
      if (this.#other !== null) { this.#other.#other = null; this.#other = null; }
    }
  }
  share.handlers(MessagePort, "message", "messageerror");
  const { get, set } = Object.getOwnPropertyDescriptor(MessagePort.prototype, "onmessage");
  Object.defineProperty(MessagePort.prototype, "onmessage", { get, set(value) { set.call(this, value); this.start(); }, enumerable: true, configurable: true });

  class MessageChannel {
    #ports = share.ports();
    get port1() { return this.#ports[0]; }
    get port2() { return this.#ports[1]; }
  }
  share.interfaces({ MessageEvent, MessagePort, MessageChannel });
})();
