// crypto.subtle: keys, the checks that WebCrypto asks for, and the table of algorithms that the files after this one fill.
// Nothing of it is made before a worker asks for it: share.subtle() then calls each part once.
"use strict";
(() => {
  const share = globalThis.__share;
  const { nk, expose } = share;
  const crypto = globalThis.crypto;
  const parts = (share.subtleParts = []);
  share.hidden = new WeakMap(); // of a CryptoKey: what it holds

  const make = () => {
    const fail = (name, message) => { throw new DOMException(message, name); };
    const hidden = share.hidden;
    const EVERY_USAGE = ["encrypt", "decrypt", "sign", "verify", "deriveKey", "deriveBits", "wrapKey", "unwrapKey"];
    const BUILT = Symbol();

    class CryptoKey {
      constructor(built, type, extractable, algorithm, usages, data) {
        if (built !== BUILT) throw new TypeError("Illegal constructor");
        hidden.set(this, { type, extractable, algorithm, usages: EVERY_USAGE.filter((usage) => usages.includes(usage)), data });
      }
      get type() { return innerOf(this).type; }
      get extractable() { return innerOf(this).extractable; }
      get algorithm() { return shownOf(this).algorithm; }
      get usages() { return shownOf(this).usages; }
      get [Symbol.toStringTag]() { return "CryptoKey"; }
    }
    const innerOf = (key) => hidden.get(key) ?? (() => { throw new TypeError("CryptoKey expected"); })();

    const shownOf = (key) => { // what a worker sees of it, and may change: the key itself stays what it is
      const inner = innerOf(key), { hash } = inner.algorithm;
      return (inner.shown ??= { algorithm: { ...inner.algorithm, ...(hash && { hash: { ...hash } }) }, usages: [...inner.usages] });
    };

    // What the parts use. Bytes that a worker gave are copied before anything else happens.
    const bytes = (value, what = "data") => {
      const view = share.bytesOf(value);
      if (!view) throw new TypeError(`${what}: an ArrayBuffer or a view of one expected`);
      return view.slice();
    };
    const integer = (value, max, what) => {
      const number = Number(value);
      if (!(number >= 0 && number <= max)) throw new TypeError(`${what}: a number from 0 to ${max} expected`);
      return Math.floor(number);
    };
    const nameOf = (algorithm) => {
      const name = typeof algorithm === "object" && algorithm !== null ? algorithm.name : algorithm;
      if (name === undefined) throw new TypeError("algorithm: a name expected");
      return String(name);
    };
    const HASHES = { "SHA-1": [160, 512], "SHA-256": [256, 512], "SHA-384": [384, 1024], "SHA-512": [512, 1024] }; // digest, block: bits
    const hashOf = (algorithm) => {
      const name = nameOf(algorithm).toUpperCase();
      if (!Object.hasOwn(HASHES, name)) fail("NotSupportedError", `Unrecognized or unimplemented digest algorithm "${nameOf(algorithm)}"`);
      return name;
    };
    const newKey = (type, extractable, algorithm, usages, data) => new CryptoKey(BUILT, type, extractable, algorithm, usages, data);
    const checkUsages = (usages, allowed) => {
      for (const usage of usages) if (!allowed.includes(usage)) fail("SyntaxError", `Unsupported key usage "${usage}" for this kind of key`);
      return usages;
    };
    const random = (size) => { const out = new Uint8Array(size); nk.random(out); return out; };
    const encode64 = (data) => new Uint8Array(data).toBase64({ alphabet: "base64url", omitPadding: true });
    const decode64 = (text, what) => {
      if (typeof text !== "string" || !/^[A-Za-z0-9_-]*$/.test(text)) fail("DataError", `JWK: base64url expected in "${what}"`);
      try { return Uint8Array.fromBase64(text, { alphabet: "base64url" }); } catch { return fail("DataError", `JWK: base64url expected in "${what}"`); }
    };
    // A JWK's members that are the same for every kind of key: RFC 7517, section 4, as WebCrypto reads them.
    const checkJwk = (jwk, kty, use, extractable, usages, algorithm) => {
      if (jwk.kty !== kty) fail("DataError", `JWK: "kty" ${JSON.stringify(kty)} expected`);
      if (usages.length && jwk.use !== undefined && jwk.use !== use) fail("DataError", `JWK: "use" ${JSON.stringify(use)} expected`);
      if (jwk.key_ops !== undefined) {
        if (!Array.isArray(jwk.key_ops) || new Set(jwk.key_ops).size !== jwk.key_ops.length) fail("DataError", 'JWK: "key_ops" with distinct names expected');
        for (const usage of usages) if (!jwk.key_ops.includes(usage)) fail("DataError", `JWK: "key_ops" has no "${usage}"`);
      }
      if (jwk.ext === false && extractable) fail("DataError", "JWK: the key is not to be extractable");
      if (jwk.alg !== undefined && algorithm !== undefined && jwk.alg !== algorithm) fail("DataError", `JWK: "alg" ${JSON.stringify(algorithm)} expected`);
    };
    const algorithms = {}; // NAME in upper case -> { name, and a function for each operation it has }
    const subtleOf = { nk, fail, bytes, integer, hashOf, HASHES, newKey, checkUsages, random, encode64, decode64, checkJwk, innerOf, algorithms, nameOf };
    for (const part of parts) part(subtleOf);

    // An algorithm that has the operation, and its parameters as an object.
    const find = (operation, algorithm) => {
      const kind = algorithms[nameOf(algorithm).toUpperCase()];
      if (!kind || !kind[operation]) fail("NotSupportedError", `Unrecognized or unimplemented algorithm "${nameOf(algorithm)}" for ${operation}`);
      return [kind, typeof algorithm === "object" ? algorithm : {}];
    };
    const usagesOf = (list) => {
      const usages = [...list].map(String);
      for (const usage of usages) if (!EVERY_USAGE.includes(usage)) throw new TypeError(`"${usage}" is not a key usage`);
      return [...new Set(usages)];
    };
    // The key's content, if this algorithm and this use are its own.
    const keyFor = (key, kind, usage) => {
      const inner = innerOf(key);
      if (inner.algorithm.name !== kind.name) fail("InvalidAccessError", `The key is for ${inner.algorithm.name}, not for ${kind.name}`);
      if (!inner.usages.includes(usage)) fail("InvalidAccessError", `The key's usages do not permit "${usage}"`);
      return inner;
    };
    const notEmpty = (made) => {
      const secret = made.privateKey ?? made;
      if (secret.type !== "public" && !secret.usages.length) fail("SyntaxError", "Usages cannot be empty when creating a key");
      return made;
    };
    const derived = (algorithm, key, bits, usage) => {
      const [kind, parameters] = find("deriveBits", algorithm);
      return kind.deriveBits(parameters, keyFor(key, kind, usage), bits);
    };
    const importKey = (format, data, algorithm, extractable, usages) => {
      const [kind, parameters] = find("importKey", algorithm);
      return notEmpty(kind.importKey(String(format), data, parameters, !!extractable, usagesOf(usages)));
    };
    const given = (format, data) => {
      if (format !== "jwk") return bytes(data, "keyData");
      if (typeof data !== "object" || data === null || share.bytesOf(data)) throw new TypeError("keyData: a JSON Web Key expected");
      return data;
    };
    const exportKey = (format, key) => {
      const inner = innerOf(key), kind = algorithms[inner.algorithm.name.toUpperCase()];
      if (!kind.exportKey) fail("NotSupportedError", `${inner.algorithm.name} keys cannot be exported`);
      if (!inner.extractable) fail("InvalidAccessError", "The key is not extractable");
      const out = kind.exportKey(format, inner);
      return format === "jwk" ? { ...out, key_ops: [...inner.usages], ext: inner.extractable } : out;
    };
    // encrypt() and decrypt() under another usage, for wrapKey() and unwrapKey().
    const cipher = (operation, algorithm, key, data, usage = operation) => {
      const [kind, parameters] = find(operation, algorithm);
      return kind[operation](parameters, keyFor(key, kind, usage), data);
    };

    class SubtleCrypto {
      constructor(built) { if (built !== BUILT) throw new TypeError("Illegal constructor"); }
      async digest(algorithm, data) {
        const input = bytes(data);
        return nk.hash(hashOf(algorithm), input);
      }
      async encrypt(algorithm, key, data) { return cipher("encrypt", algorithm, key, bytes(data)); }
      async decrypt(algorithm, key, data) { return cipher("decrypt", algorithm, key, bytes(data)); }
      async sign(algorithm, key, data) { return cipher("sign", algorithm, key, bytes(data)); }
      async verify(algorithm, key, signature, data) {
        const proof = bytes(signature, "signature"), input = bytes(data), [kind, parameters] = find("verify", algorithm);
        return kind.verify(parameters, keyFor(key, kind, "verify"), proof, input);
      }
      async generateKey(algorithm, extractable, usages) {
        share.onlyMachine("crypto.subtle.generateKey()");
        const [kind, parameters] = find("generateKey", algorithm);
        return notEmpty(kind.generateKey(parameters, !!extractable, usagesOf(usages)));
      }
      async importKey(format, keyData, algorithm, extractable, usages) {
        return importKey(format, given(format, keyData), algorithm, extractable, usages);
      }
      async exportKey(format, key) { return exportKey(String(format), key); }
      async deriveBits(algorithm, key, length = null) { return derived(algorithm, key, length, "deriveBits").slice().buffer; }
      async deriveKey(algorithm, key, derivedKey, extractable, usages) {
        const [kind, parameters] = find("keyLength", derivedKey);
        const secret = derived(algorithm, key, kind.keyLength(parameters), "deriveKey");
        return importKey("raw", secret, derivedKey, extractable, usages);
      }
      async wrapKey(format, key, wrappingKey, algorithm) {
        const plain = exportKey(String(format), key);
        return cipher("encrypt", algorithm, wrappingKey, format === "jwk" ? nk.encode(JSON.stringify(plain)) : new Uint8Array(plain), "wrapKey");
      }
      async unwrapKey(format, wrapped, unwrappingKey, algorithm, keyAlgorithm, extractable, usages) {
        const plain = new Uint8Array(cipher("decrypt", algorithm, unwrappingKey, bytes(wrapped), "unwrapKey"));
        let data = plain;
        if (format === "jwk") try { data = JSON.parse(nk.decode(plain)); } catch { fail("DataError", "JWK: JSON expected"); }
        return importKey(format, given(format, data), keyAlgorithm, extractable, usages);
      }
      timingSafeEqual(a, b) { // workerd's own
        const one = share.bytesOf(a), other = share.bytesOf(b);
        if (!one || !other) throw new TypeError("timingSafeEqual: ArrayBuffers or views expected");
        if (one.byteLength !== other.byteLength) throw new TypeError("Input buffers must have the same byte length.");
        return nk.same(bytes(one), bytes(other));
      }
      get [Symbol.toStringTag]() { return "SubtleCrypto"; }
    }
    return { CryptoKey, SubtleCrypto, subtle: new SubtleCrypto(BUILT) };
  };

  let made = null;
  const lazily = (owner, name) => Object.defineProperty(owner, name, {
    configurable: true,
    enumerable: false,
    get: () => (made ??= make())[name],
    set(value) { Object.defineProperty(owner, name, { value, writable: true, configurable: true, enumerable: false }); },
  });
  lazily(globalThis, "CryptoKey");
  lazily(globalThis, "SubtleCrypto");
  class Crypto {
    constructor() { throw new TypeError("Illegal constructor"); }
    get [Symbol.toStringTag]() { return "Crypto"; }
  }
  Object.setPrototypeOf(crypto, Crypto.prototype);
  lazily(Crypto.prototype, "subtle");
  expose({ Crypto });
})();
