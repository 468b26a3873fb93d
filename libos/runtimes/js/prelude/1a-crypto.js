// `crypto`: random numbers, and what lazy/subtle.js makes once a worker asks for it.
"use strict";
(() => {
  const share = globalThis.__share, { nk, expose, lazyGlobal } = share;
  const INTEGERS = [Int8Array, Uint8Array, Uint8ClampedArray, Int16Array, Uint16Array, Int32Array, Uint32Array, BigInt64Array, BigUint64Array];

  const ours = (it) => { if (it !== crypto) throw new TypeError("Illegal invocation"); };

  class Crypto {
    constructor() { throw new TypeError("Illegal constructor"); }
    get subtle() {
      ours(this);
      return share.part("subtle").subtle;
    }
    getRandomValues(array) {
      ours(this);
      if (array === undefined) throw new TypeError("getRandomValues(): an integer typed array expected");
      share.onlyMachine("crypto.getRandomValues()");
      if (!INTEGERS.some((kind) => array instanceof kind)) throw new DOMException("The data in this object must be an integer typed array", "TypeMismatchError");
      if (array.byteLength > 65536) throw new DOMException("getRandomValues() only accepts buffers of size <= 64K", "QuotaExceededError");
      nk.random(array);
      return array;
    }
    randomUUID() {
      ours(this);
      share.onlyMachine("crypto.randomUUID()");
      const b = new Uint8Array(16);
      nk.random(b);
      b[6] = (b[6] & 0x0f) | 0x40;
      b[8] = (b[8] & 0x3f) | 0x80;
      let text = "";
      for (let n = 0; n < 16; n++) text += (n === 4 || n === 6 || n === 8 || n === 10 ? "-" : "") + (b[n] < 16 ? "0" : "") + b[n].toString(16);
      return text;
    }
    get [Symbol.toStringTag]() { return "Crypto"; }
  }
  for (const name of ["subtle", "getRandomValues", "randomUUID"]) Object.defineProperty(Crypto.prototype, name, { enumerable: true });
  const crypto = Object.create(Crypto.prototype);
  expose({ Crypto, crypto });
  for (const part of ["subtle", "subtle-secret", "subtle-rsa", "subtle-ec", "subtle-okp"]) share.readPart(part);
  lazyGlobal("CryptoKey", "subtle");
  lazyGlobal("SubtleCrypto", "subtle");
})();
