// `crypto`'s class, and the globals that lazy/subtle.js makes once a worker asks for one of them.
"use strict";
(() => {
  const { expose, lazily, lazyGlobal } = globalThis.__share;
  class Crypto {
    constructor() { throw new TypeError("Illegal constructor"); }
    get [Symbol.toStringTag]() { return "Crypto"; }
  }
  Object.setPrototypeOf(globalThis.crypto, Crypto.prototype);
  lazily(Crypto.prototype, "subtle", "subtle", true);
  lazyGlobal("CryptoKey", "subtle");
  lazyGlobal("SubtleCrypto", "subtle");
  expose({ Crypto });
})();
