// What the other files share, and the small parts of the platform. Everything that a worker could change later is taken
// here and now: a worker that patches prototypes breaks its own code, not this.
"use strict";
globalThis.__share = (() => {
  const nk = globalThis.__nk;
  const share = { nk };
  const NativePromise = Promise;

  // Defines globals as the platform has them: writable, not enumerable.
  share.expose = (values) => {
    for (const name in values)
      Object.defineProperty(globalThis, name, { value: values[name], writable: true, configurable: true, enumerable: false });
  };

  // What lazy/NAME.js exports, made at its first use; and a global, or a member of `owner`, that is made from one then.
  const parts = { __proto__: null };
  const read = { __proto__: null }; // its functions, where the base image holds them: machines that use it then have no copy
  share.readPart = (name) => { read[name] = nk.part(name); };
  share.part = (name) => (parts[name] ??= (read[name] ?? nk.part(name))(share));
  share.lazily = (owner, name, part, enumerable = false) => {
    const become = (value) => Object.defineProperty(owner, name, { value, writable: true, configurable: true, enumerable });
    Object.defineProperty(owner, name, {
      get() { const value = share.part(part)[name]; become(value); return value; },
      set: become,
      configurable: true,
      enumerable,
    });
  };
  share.lazyGlobal = (name, part) => share.lazily(globalThis, name, part);

  share.deferred = () => {
    let resolve, reject;
    const promise = new NativePromise((yes, no) => { resolve = yes; reject = no; });
    return { promise, resolve, reject };
  };

  share.onlyServing = (what) => {
    if (!nk.serving())
      throw new Error(`Disallowed operation called within global scope: ${what} needs a request; the top level runs once, when the image is built`);
  };

  share.onlyMachine = (what) => {
    if (!nk.entropy()) share.onlyServing(what);
  };

  // Bytes of what the platform calls a BufferSource, as a Uint8Array over the same memory; null for anything else.
  share.bytesOf = (value) => {
    if (value instanceof Uint8Array) return value;
    if (value instanceof ArrayBuffer) return new Uint8Array(value);
    if (ArrayBuffer.isView(value)) return new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
    return null;
  };

  share.concat = (parts, size) => {
    const whole = new Uint8Array(size);
    let at = 0;
    for (let n = 0; n < parts.length; n++) { whole.set(parts[n], at); at += parts[n].byteLength; }
    return whole;
  };

  // Console: one log line each, as the publisher reads them.
  const show = (value, depth = 0, seen = []) => {
    if (typeof value === "string") return depth ? JSON.stringify(value) : value;
    if (typeof value === "function") return `[Function ${value.name || "(anonymous)"}]`;
    if (typeof value === "bigint") return `${value}n`;
    if (typeof value !== "object" || value === null) return String(value);
    if (value instanceof Error) return `${value}${value.stack ? "\n" + value.stack.trimEnd() : ""}`;
    if (seen.includes(value)) return "[Circular]";
    if (depth > 3) return "[Object]";
    seen = [...seen, value];
    if (Array.isArray(value)) return `[ ${value.map((item) => show(item, depth + 1, seen)).join(", ")} ]`;
    if (value instanceof Map) return `Map(${value.size}) { ${[...value].map(([k, v]) => `${show(k, depth + 1, seen)} => ${show(v, depth + 1, seen)}`).join(", ")} }`;
    if (value instanceof Set) return `Set(${value.size}) { ${[...value].map((v) => show(v, depth + 1, seen)).join(", ")} }`;
    if (value instanceof Date) return value.toISOString();
    const name = value.constructor?.name;
    const entries = Object.entries(value).map(([key, item]) => `${key}: ${show(item, depth + 1, seen)}`);
    return `${name && name !== "Object" ? name + " " : ""}{ ${entries.join(", ")} }`;
  };
  const print = (prefix) => (...values) => nk.log(prefix + values.map((value) => show(value)).join(" "));
  share.show = show;
  share.expose({
    console: {
      log: print(""), info: print(""), debug: print("debug: "), warn: print("warn: "), error: print("error: "),
      trace: print("trace: "), dir: print(""), table: print(""), group: print(""), groupEnd() {}, time() {}, timeEnd() {},
      count() {}, assert: (good, ...values) => good || print("assertion failed: ")(...values),
    },
    self: globalThis,
  });

  // Time and chance come from the machine: they stand still, or are refused, while the image is built.
  Date.now = () => nk.wall();
  Math.random = () => { share.onlyMachine("Math.random()"); return nk.number(); };
  share.expose({ performance: { now: () => nk.mono(), timeOrigin: 0, toJSON: () => ({ timeOrigin: 0 }) } });

  class TextEncoder {
    get encoding() { return "utf-8"; }
    encode(text = "") { return nk.encode(String(text).toWellFormed()); }
    encodeInto(text, into) {
      let read = 0, written = 0;
      for (const sign of String(text).toWellFormed()) {
        const bytes = nk.encode(sign);
        if (written + bytes.length > into.length) break;
        into.set(bytes, written);
        written += bytes.length;
        read += sign.length;
      }
      return { read, written };
    }
  }
  class TextDecoder {
    #fatal; #ignoreBOM; #rest = new Uint8Array(0);
    constructor(label = "utf-8", { fatal = false, ignoreBOM = false } = {}) {
      if (!/^\s*(utf-?8|unicode-1-1-utf-8)\s*$/i.test(label)) throw new RangeError(`The encoding label "${label}" is not supported: only utf-8 is`);
      this.#fatal = !!fatal;
      this.#ignoreBOM = !!ignoreBOM;
    }
    get encoding() { return "utf-8"; }
    get fatal() { return this.#fatal; }
    get ignoreBOM() { return this.#ignoreBOM; }
    decode(input = new Uint8Array(0), { stream = false } = {}) {
      let bytes = share.bytesOf(input);
      if (!bytes) throw new TypeError("bytes expected");
      if (this.#rest.length) bytes = share.concat([this.#rest, bytes], this.#rest.length + bytes.length);
      this.#rest = new Uint8Array(0);
      if (stream) {
        let back = 1; // an unfinished sequence at the end stays for the next call
        while (back < 4 && back <= bytes.length && (bytes[bytes.length - back] & 0xc0) === 0x80) back++;
        const lead = bytes[bytes.length - back];
        if (back <= bytes.length && lead >= (back === 1 ? 0xc0 : back === 2 ? 0xe0 : back === 3 ? 0xf0 : 0xff)) {
          this.#rest = bytes.slice(bytes.length - back);
          bytes = bytes.subarray(0, bytes.length - back);
        }
      }
      const text = nk.decode(bytes);
      if (this.#fatal && text.includes("\ufffd") && !same(nk.encode(text), bytes)) throw new TypeError("The encoded data was not valid utf-8");
      return !this.#ignoreBOM && text.charCodeAt(0) === 0xfeff ? text.slice(1) : text;
    }
  }
  const same = (a, b) => a.length === b.length && a.every((byte, at) => byte === b[at]);
  share.expose({ TextEncoder, TextDecoder });

  // Events.
  class Event {
    #type; #cancelable; defaultPrevented = false; target = null; currentTarget = null; _stop = false;
    constructor(type, { cancelable = false } = {}) { this.#type = String(type); this.#cancelable = cancelable; }
    get type() { return this.#type; }
    get cancelable() { return this.#cancelable; }
    preventDefault() { if (this.#cancelable) this.defaultPrevented = true; }
    stopPropagation() {}
    stopImmediatePropagation() { this._stop = true; }
  }
  class CustomEvent extends Event {
    #detail;
    constructor(type, options = {}) { super(type, options); this.#detail = options.detail ?? null; }
    get detail() { return this.#detail; }
  }
  class EventTarget {
    #listeners = new Map();
    addEventListener(type, listener, options = {}) {
      if (!listener) return;
      const list = this.#listeners.get(type) ?? [];
      if (!list.some((entry) => entry.listener === listener)) list.push({ listener, once: !!options?.once });
      this.#listeners.set(type, list);
    }
    removeEventListener(type, listener) {
      this.#listeners.set(type, (this.#listeners.get(type) ?? []).filter((entry) => entry.listener !== listener));
    }
    dispatchEvent(event) {
      event.target = event.currentTarget = this;
      for (const entry of [...(this.#listeners.get(event.type) ?? [])]) {
        if (entry.once) this.removeEventListener(event.type, entry.listener);
        try {
          typeof entry.listener === "function" ? entry.listener.call(this, event) : entry.listener.handleEvent(event);
        } catch (error) { reportError(error); }
        if (event._stop) break;
      }
      return !event.defaultPrevented;
    }
  }
  const reportError = (error) => nk.log(`uncaught: ${show(error)}`);
  class AbortSignal extends EventTarget {
    aborted = false; reason = undefined; onabort = null;
    throwIfAborted() { if (this.aborted) throw this.reason; }
    _abort(reason = new DOMException("The operation was aborted", "AbortError")) {
      if (this.aborted) return;
      this.aborted = true;
      this.reason = reason;
      share.again = true; // who waits for the gate may have waited for this
      const event = new Event("abort");
      try { this.onabort?.(event); } catch (error) { reportError(error); }
      this.dispatchEvent(event);
    }
    static abort(reason) { const signal = new AbortSignal(); signal._abort(reason); return signal; }
    static timeout(ms) {
      const signal = new AbortSignal();
      setTimeout(() => signal._abort(new DOMException("The operation was aborted due to timeout", "TimeoutError")), ms);
      return signal;
    }
    static any(signals) {
      const any = new AbortSignal();
      for (const signal of signals) {
        if (signal.aborted) { any._abort(signal.reason); break; }
        signal.addEventListener("abort", () => any._abort(signal.reason), { once: true });
      }
      return any;
    }
  }
  class AbortController {
    signal = new AbortSignal();
    abort(reason) { this.signal._abort(reason); }
  }
  share.expose({ Event, CustomEvent, EventTarget, AbortSignal, AbortController, reportError });

  // Structured clone of what the algorithm knows and this platform has.
  share.expose({
    structuredClone(value) {
      const seen = new Map();
      const copy = (from) => {
        if (typeof from === "function" || typeof from === "symbol") throw new DOMException(`${String(from)} could not be cloned.`, "DataCloneError");
        if (typeof from !== "object" || from === null) return from;
        if (seen.has(from)) return seen.get(from);
        const keep = (to) => { seen.set(from, to); return to; };
        if (from instanceof Date) return keep(new Date(from));
        if (from instanceof RegExp) return keep(new RegExp(from.source, from.flags));
        if (from instanceof ArrayBuffer) return keep(from.slice(0));
        if (from instanceof DataView) return keep(new DataView(copy(from.buffer), from.byteOffset, from.byteLength));
        if (ArrayBuffer.isView(from)) return keep(new from.constructor(copy(from.buffer), from.byteOffset, from.length));
        if (from instanceof Map) { const to = keep(new Map()); for (const [k, v] of from) to.set(copy(k), copy(v)); return to; }
        if (from instanceof Set) { const to = keep(new Set()); for (const v of from) to.add(copy(v)); return to; }
        if (from instanceof Error) {
          const to = keep(new (({ EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError })[from.name] ?? Error)(from.message));
          to.stack = from.stack;
          if ("cause" in from) to.cause = copy(from.cause);
          return to;
        }
        if (from instanceof Boolean || from instanceof Number || from instanceof String) return keep(Object(from.valueOf()));
        if (Array.isArray(from)) { const to = keep(new Array(from.length)); for (const key of Object.keys(from)) to[key] = copy(from[key]); return to; }
        const to = keep({});
        for (const key of Object.keys(from)) to[key] = copy(from[key]);
        return to;
      };
      return copy(value);
    },
  });

  share.expose({ navigator: { userAgent: "nunatak" } });
  return share;
})();
