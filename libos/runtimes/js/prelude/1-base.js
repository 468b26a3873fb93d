// What the other files share. Everything that a worker could change later is taken here and now: a worker that patches
// prototypes breaks its own code, not this.
"use strict";
globalThis.__share = (() => {
  const nk = globalThis.__nk;
  const share = { nk };
  const NativePromise = Promise;

  // A class or a function under the name that workers know it by: bundlers shorten the names of packages.
  share.named = (name, value) => {
    if (typeof value === "function" && value.name !== name) Object.defineProperty(value, "name", { value: name, configurable: true });
    return value;
  };

  // Defines globals as the platform has them: writable, not enumerable.
  share.expose = (values) => {
    for (const name in values)
      Object.defineProperty(globalThis, name, { value: share.named(name, values[name]), writable: true, configurable: true, enumerable: false });
  };

  // What lazy/NAME.js exports, made at its first use; and a global, or a member of `owner`, that is made from one then.
  const parts = { __proto__: null };
  const read = { __proto__: null }; // its functions, where the base image holds them: machines that use it then have no copy
  share.readPart = (name) => { read[name] = nk.part(name); };
  share.part = (name) => (parts[name] ??= (read[name] ?? nk.part(name))(share));
  share.lazily = (owner, name, part, enumerable = false) => {
    const become = (value) => Object.defineProperty(owner, name, { value, writable: true, configurable: true, enumerable });
    Object.defineProperty(owner, name, {
      get() { const value = share.named(name, share.part(part)[name]); become(value); return value; },
      set: become,
      configurable: true,
      enumerable,
    });
  };
  share.lazyGlobal = (name, part) => share.lazily(globalThis, name, part);

  // Classes as Web IDL has interfaces: members are enumerable, and objects say what they are.
  share.platform = []; // those classes: their objects are no plain ones
  share.interfaces = (classes) => {
    for (const name in classes) {
      const Class = classes[name];
      share.platform.push(Class);
      for (const place of [Class, Class.prototype])
        for (const key of Object.getOwnPropertyNames(place)) {
          if (["constructor", "length", "name", "prototype"].includes(key) || key[0] === "_") continue;
          if (place === Class || Object.getOwnPropertyDescriptor(place, key).configurable) Object.defineProperty(place, key, { enumerable: true });
        }
      Object.defineProperty(Class.prototype, Symbol.toStringTag, { value: name, configurable: true });
    }
    share.expose(classes);
  };

  // entries(), keys(), values(), forEach() and the iterator of a class of pairs. What is iterated is the list as it is at
  // each step: [[name, value], ...].
  share.iterable = (Class, name, pairsOf) => {
    const iterators = new WeakMap();
    const prototype = Object.create(Object.getPrototypeOf(Object.getPrototypeOf([][Symbol.iterator]())), {
      next: { configurable: true, enumerable: true, writable: true, value: function next() {
        const state = iterators.get(this);
        if (state === undefined) throw new TypeError(`next() of a ${name} Iterator expected one`);
        const pairs = pairsOf(state.of);
        if (state.at >= pairs.length) return { value: undefined, done: true };
        const pair = pairs[state.at++];
        return { value: state.kind === 2 ? [pair[0], pair[1]] : pair[state.kind], done: false };
      } },
      [Symbol.toStringTag]: { configurable: true, value: `${name} Iterator` },
    });
    const iterator = (of, kind) => {
      pairsOf(of); // which throws for an object of another class
      const made = Object.create(prototype);
      iterators.set(made, { of, kind, at: 0 });
      return made;
    };
    const methods = {
      entries() { return iterator(this, 2); },
      keys() { return iterator(this, 0); },
      values() { return iterator(this, 1); },
      forEach(callback, self = undefined) {
        const pairs = pairsOf(this);
        if (typeof callback !== "function") throw new TypeError("forEach: a function expected");
        for (let at = 0, now = pairs; at < now.length; at++, now = pairsOf(this)) callback.call(self, now[at][1], now[at][0], this);
      },
    };
    Object.defineProperty(methods.forEach, "length", { value: 1 });
    for (const key in methods) Object.defineProperty(Class.prototype, key, { value: methods[key], writable: true, configurable: true, enumerable: true });
    Object.defineProperty(Class.prototype, Symbol.iterator, { value: methods.entries, writable: true, configurable: true });
  };

  // The pairs that a constructor is given as a sequence of pairs or as a record: what convert() makes of each.
  share.pairs = (init, what, convert) => {
    const wrong = () => new TypeError(`${what}: pairs of a name and a value, or an object of them, expected`);
    if (typeof init !== "object" && typeof init !== "function") throw wrong();
    if (init === null) throw wrong();
    const method = init[Symbol.iterator];
    const pairs = [];
    if (method !== undefined && method !== null) {
      if (typeof method !== "function") throw wrong();
      for (const pair of { [Symbol.iterator]: () => method.call(init) }) {
        if ((typeof pair !== "object" && typeof pair !== "function") || pair === null || typeof pair[Symbol.iterator] !== "function") throw wrong();
        const both = [...pair];
        if (both.length !== 2) throw wrong();
        pairs.push([convert(both[0]), convert(both[1])]);
      }
      return pairs;
    }
    for (const key of Reflect.ownKeys(init)) {
      if (!Object.getOwnPropertyDescriptor(init, key)?.enumerable) continue;
      const name = convert(key), value = convert(init[key]), same = pairs.find((pair) => pair[0] === name);
      if (same) same[1] = value;
      else pairs.push([name, value]);
    }
    return pairs;
  };

  // What Web IDL converts arguments to. Their number is not checked where it would cost: the engine makes an object of
  // arguments for each call of a function that counts them.
  share.text = (value) => (typeof value === "string" ? value : `${value}`).toWellFormed();
  share.options = (value, what) => {
    if (value === undefined || value === null) return {};
    if (typeof value !== "object" && typeof value !== "function") throw new TypeError(`${what}: an object of options expected`);
    return value;
  };
  share.need = (given, count, what) => {
    if (given < count) throw new TypeError(`${what}: ${count} argument${count > 1 ? "s" : ""} expected, got ${given}`);
  };

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

  // Time and chance come from the machine. While the image is built clocks stand still, and Math.random() has numbers of
  // a fixed sequence: whatever a worker makes of them is the same in every machine, and everybody may know it.
  Date.now = () => nk.wall();
  let fixed = 0x9e3779b9; // Marsaglia's xorshift, "Xorshift RNGs" (2003), section 3
  Math.random = () => {
    if (nk.entropy()) return nk.number();
    fixed ^= fixed << 13; fixed ^= fixed >>> 17; fixed ^= fixed << 5;
    return (fixed >>> 0) / 2 ** 32;
  };

  // The engine's setter takes strings only.
  const { get, set } = Object.getOwnPropertyDescriptor(Error.prototype, "stack");
  Object.defineProperty(Error.prototype, "stack", {
    get,
    set(value) {
      if (typeof value === "string") set.call(this, value);
      else Object.defineProperty(this, "stack", { value, writable: true, configurable: true });
    },
    configurable: true,
  });

  share.expose({ navigator: { userAgent: "nunatak" }, self: globalThis });
  return share;
})();
