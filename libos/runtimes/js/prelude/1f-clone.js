// structuredClone() (HTML, section 2.7): what cannot be cloned throws, and what is transferred is detached.
"use strict";
(() => {
  const share = globalThis.__share;
  const ERRORS = { Error, EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError };
  const OPAQUE = [Promise, WeakMap, WeakSet, WeakRef, FinalizationRegistry, Object.getPrototypeOf(function* () {}).prototype, Object.getPrototypeOf(async function* () {}).prototype]
    .map((kind) => (typeof kind === "function" ? kind.prototype : kind));
  OPAQUE.push(Object.getPrototypeOf([][Symbol.iterator]()), Object.getPrototypeOf(new Map()[Symbol.iterator]()), Object.getPrototypeOf(new Set()[Symbol.iterator]()));
  const isPrototypeOf = Object.prototype.isPrototypeOf;
  const refuse = (what) => { throw new DOMException(`${what} could not be cloned.`, "DataCloneError"); };

  // Classes of the platform that can be cloned: [class, how]; and those that can be transferred.
  share.clonable = [[DOMException, (from) => { const to = new DOMException(from.message, from.name); to.stack = from.stack; return to; }]];
  share.transferable = [];

  const define = (to, key, value) => {
    if (key in to) Object.defineProperty(to, key, { value, writable: true, enumerable: true, configurable: true });
    else to[key] = value;
  };
  const cloneBuffer = (from) => {
    if (from.detached) refuse("An ArrayBuffer that is detached");
    if (!from.resizable) return from.slice(0);
    const to = new ArrayBuffer(from.byteLength, { maxByteLength: from.maxByteLength });
    new Uint8Array(to).set(new Uint8Array(from));
    return to;
  };
  const cloneView = (from, buffer) => {
    const tracks = from.buffer.resizable && tracksLength(from);
    const name = from instanceof DataView ? "DataView" : from[Symbol.toStringTag];
    if (tracks) return new globalThis[name](buffer, from.byteOffset);
    return new globalThis[name](buffer, from.byteOffset, from instanceof DataView ? from.byteLength : from.length);
  };
  const isOut = (view) => { // or detached
    if (view.buffer.detached) return true;
    if (!(view instanceof DataView)) return view.buffer.resizable && view.length === 0 && view.byteOffset === 0 && outOf(view);
    try { return view.byteLength < 0; } catch { return true; }
  };
  const outOf = (view) => { try { view.with(0, 0); return true; } catch (error) { return error instanceof TypeError; } };
  const tracksLength = (view) => { // of a buffer that may grow: whether the view would grow with it
    const { buffer } = view, size = buffer.byteLength, seen = view.byteLength;
    if (size === buffer.maxByteLength) return false;
    buffer.resize(buffer.maxByteLength);
    const grown = view.byteLength !== seen;
    buffer.resize(size);
    return grown;
  };
  const clone = (value, moved) => { // moved: Map of what is transferred -> what it becomes
    const seen = new Map(moved);
    const items = (from, to) => {
      for (const key of Object.keys(from)) if (Object.hasOwn(from, key)) define(to, key, copy(from[key]));
      return to;
    };
    const copy = (from) => {
      if (typeof from === "symbol" || typeof from === "function") refuse(String(from));
      if (typeof from !== "object" || from === null) return from;
      if (seen.has(from)) return seen.get(from);
      const keep = (to) => { seen.set(from, to); return to; };
      if (from instanceof Boolean || from instanceof Number || from instanceof String || from instanceof BigInt) return keep(Object(from.valueOf()));
      if (from instanceof Symbol) refuse("A symbol");
      if (from instanceof Date) return keep(new Date(from.getTime()));
      if (from instanceof RegExp) return keep(new RegExp(from.source, from.flags));
      if (from instanceof ArrayBuffer) return keep(cloneBuffer(from));
      if (ArrayBuffer.isView(from)) {
        if (isOut(from)) refuse("A view that its ArrayBuffer is too small for");
        return keep(cloneView(from, copy(from.buffer)));
      }
      if (from instanceof Map) {
        const to = keep(new Map());
        for (const [key, item] of [...Map.prototype.entries.call(from)]) to.set(copy(key), copy(item));
        return to;
      }
      if (from instanceof Set) {
        const to = keep(new Set());
        for (const item of [...Set.prototype.values.call(from)]) to.add(copy(item));
        return to;
      }
      for (const [Class, how] of share.clonable) if (from instanceof Class) return keep(how(from, copy));
      if (from instanceof Error) {
        const own = Object.getOwnPropertyDescriptor(from, "message"), Kind = ERRORS[`${from.name}`] ?? Error;
        const to = keep(own && "value" in own ? new Kind(`${own.value}`) : new Kind());
        if (typeof from.stack === "string") Object.defineProperty(to, "stack", { value: from.stack, writable: true, configurable: true });
        if (Object.hasOwn(from, "cause")) Object.defineProperty(to, "cause", { value: copy(from.cause), writable: true, configurable: true });
        return to;
      }
      if (Array.isArray(from)) return items(from, keep(new Array(from.length)));
      for (const prototype of OPAQUE) if (isPrototypeOf.call(prototype, from)) refuse(Object.prototype.toString.call(from));
      for (const Class of share.platform) if (from instanceof Class) refuse(Object.prototype.toString.call(from));
      return items(from, keep({}));
    };
    return copy(value);
  };

  // The copy of a value, and what became of that which was transferred with it.
  share.clone = (value, transfer) => {
    const moved = new Map(), acts = [];
    for (const item of transfer) {
      if (moved.has(item)) refuse("What is transferred twice");
      const how = item instanceof ArrayBuffer ? moveBuffer : share.transferable.find(([Class]) => item instanceof Class)?.[1];
      if (how === undefined) refuse("What is transferred and cannot be");
      const [to, act] = how(item);
      moved.set(item, to);
      acts.push(act);
    }
    const copy = clone(value, moved);
    for (const act of acts) act();
    return [copy, [...moved.values()]];
  };
  const moveBuffer = (from) => [cloneBuffer(from), () => from.transfer()];
  share.expose({
    structuredClone(value, options = undefined) {
      share.need(arguments.length, 1, "structuredClone()");
      return share.clone(value, [...(share.options(options, "structuredClone()").transfer ?? [])])[0];
    },
  });
})();
