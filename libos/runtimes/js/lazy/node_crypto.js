// node:crypto's common part: hashes, HMAC, random bytes, keys from passwords. SHA-1, SHA-2 and PBKDF2 are the platform's
// in C; the other hashes and scrypt are @noble/hashes. Ciphers and signatures are crypto.subtle's.
import { ripemd160, md5 } from "@noble/hashes/legacy.js";
import { sha224, sha512_256 } from "@noble/hashes/sha2.js";
import { sha3_256, sha3_384, sha3_512 } from "@noble/hashes/sha3.js";
import { hmac } from "@noble/hashes/hmac.js";
import { hkdf } from "@noble/hashes/hkdf.js";
import { pbkdf2 } from "@noble/hashes/pbkdf2.js";
import { scrypt } from "@noble/hashes/scrypt.js";

const { nk } = share;
const { Buffer } = share.part("node_buffer");
const webcrypto = globalThis.crypto;
const NATIVE = { __proto__: null, sha1: "SHA-1", sha256: "SHA-256", sha384: "SHA-384", sha512: "SHA-512" };

// A hash of the platform as @noble/hashes has them: of all bytes at once.
class Whole {
  #name; #parts = []; #size = 0;
  constructor(name, blockLen, outputLen) { this.#name = name; this.blockLen = blockLen; this.outputLen = outputLen; }
  update(bytes) { this.#parts.push(bytes.slice()); this.#size += bytes.length; return this; }
  digest() { return new Uint8Array(nk.hash(this.#name, share.concat(this.#parts, this.#size))); }
  digestInto(out) { out.set(this.digest()); }
  destroy() { this.#parts = []; this.#size = 0; }
  clone() { return this._cloneInto(); }
  _cloneInto(to = new Whole(this.#name, this.blockLen, this.outputLen)) { to.#parts = [...this.#parts]; to.#size = this.#size; return to; }
}
const native = (name, blockLen, outputLen) => {
  const create = () => new Whole(name, blockLen, outputLen);
  return Object.assign((bytes) => create().update(bytes).digest(), { blockLen, outputLen, create });
};
const HASHES = {
  __proto__: null, md5, ripemd160, rmd160: ripemd160, sha1: native("SHA-1", 64, 20), sha224, sha256: native("SHA-256", 64, 32),
  sha384: native("SHA-384", 128, 48), sha512: native("SHA-512", 128, 64), "sha512-256": sha512_256, "sha3-256": sha3_256, "sha3-384": sha3_384, "sha3-512": sha3_512,
};
const plain = (name) => String(name).toLowerCase().replace(/^rsa-/, "").replace(/^sha-(\d)/, "sha$1").replace("sha512/256", "sha512-256");
const failure = (kind, code, message) => Object.assign(new kind(message), { code });
const hashOf = (name) => HASHES[plain(name)] ?? (() => { throw failure(Error, "ERR_CRYPTO_INVALID_DIGEST", `Invalid digest: ${name}`); })();
const bytesOf = (value, encoding) => {
  const bytes = typeof value === "string" ? Buffer.from(value, encoding) : share.bytesOf(value?.export?.() ?? value);
  if (bytes === null) throw failure(TypeError, "ERR_INVALID_ARG_TYPE", 'The "data" argument must be of type string or an instance of Buffer, TypedArray, or DataView.');
  return bytes;
};
const bufferOf = (bytes) => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
const told = (bytes, encoding) => (encoding === undefined || encoding === "buffer" ? bufferOf(bytes) : bufferOf(bytes).toString(encoding));

class Digest {
  _state; _done = false;
  constructor(state) { this._state = state; }
  update(data, encoding) {
    if (this._done) throw failure(Error, "ERR_CRYPTO_HASH_FINALIZED", "Digest already called");
    this._state.update(bytesOf(data, encoding));
    return this;
  }
  digest(encoding) {
    if (this._done) throw failure(Error, "ERR_CRYPTO_HASH_FINALIZED", "Digest already called");
    this._done = true;
    return told(this._state.digest(), encoding);
  }
}
class Hash extends Digest {
  copy() { return new Hash(this._state.clone()); }
}
class Hmac extends Digest {}
const createHash = (name) => {
  if (HASHES[plain(name)] === undefined) throw new Error("Digest method not supported");
  return new Hash(hashOf(name).create());
};
const createHmac = (name, key) => new Hmac(hmac.create(hashOf(name), bytesOf(key)));
const hash = (name, data, encoding = "hex") => createHash(name).update(data).digest(encoding);

const randomFillSync = (target, offset = 0, size = undefined) => {
  share.onlyMachine("node:crypto's random bytes");
  const whole = share.bytesOf(target);
  nk.random(whole.subarray(offset, size === undefined ? undefined : offset + size));
  return target;
};
const later = (work, callback) => {
  let value;
  try { value = work(); } catch (error) { return void queueMicrotask(() => callback(error)); }
  queueMicrotask(() => callback(null, value));
};
const orLater = (work) => (...values) => (typeof values.at(-1) === "function" ? later(() => work(...values.slice(0, -1)), values.at(-1)) : work(...values));
const randomBytes = orLater((size) => randomFillSync(Buffer.alloc(size)));
const randomFill = (target, ...rest) => later(() => randomFillSync(target, ...rest.slice(0, -1)), rest.at(-1));
const randomInt = orLater((from, to) => {
  const [low, high] = to === undefined ? [0, from] : [from, to];
  const range = high - low, bound = 2 ** 48 - (2 ** 48 % range);
  if (!(Number.isSafeInteger(low) && Number.isSafeInteger(high) && range > 0 && range < 2 ** 48)) throw failure(RangeError, "ERR_OUT_OF_RANGE", 'The value of "max" is out of range.');
  for (;;) {
    const value = randomBytes(6).readUIntBE(0, 6); // of the last, incomplete range nothing is taken
    if (value < bound) return low + (value % range);
  }
});
const timingSafeEqual = (a, b) => {
  const [left, right] = [share.bytesOf(a), share.bytesOf(b)];
  if (left.length !== right.length) throw failure(RangeError, "ERR_CRYPTO_TIMING_SAFE_EQUAL_LENGTH", "Input buffers must have the same byte length");
  return nk.same(left, right);
};

const pbkdf2Sync = (password, salt, iterations, size, name) => {
  const known = NATIVE[plain(name)], about = [bytesOf(password), bytesOf(salt)];
  if (known) return Buffer.from(nk.pbkdf2(known, ...about, iterations, size));
  return bufferOf(pbkdf2(hashOf(name), ...about, { c: iterations, dkLen: size }));
};
const hkdfSync = (name, key, salt, info, size) => hkdf(hashOf(name), bytesOf(key), bytesOf(salt), bytesOf(info), size).buffer;
const scryptSync = (password, salt, size, { N = 16384, cost = N, r = 8, blockSize = r, p = 1, parallelization = p, maxmem = 32 << 20 } = {}) => {
  if (128 * cost * blockSize > maxmem) throw failure(RangeError, "ERR_CRYPTO_INVALID_SCRYPT_PARAMS", "Invalid scrypt params: memory limit exceeded");
  return bufferOf(scrypt(bytesOf(password), bytesOf(salt), { N: cost, r: blockSize, p: parallelization, dkLen: size, maxmem: 2 * maxmem }));
};
const withCallback = (work) => (...values) => later(() => work(...values.slice(0, -1)), values.at(-1));

const elsewhere = (name) => () => { throw failure(Error, "ERR_FEATURE_UNAVAILABLE_ON_PLATFORM", `node:crypto has no ${name}() here: crypto.subtle has keys, ciphers and signatures`); };
const REFUSED = [
  ...["createCipheriv", "createDecipheriv", "createSign", "createVerify", "sign", "verify", "generateKeyPair", "generateKeyPairSync", "createDiffieHellman", "createECDH"],
  ...["createPublicKey", "createPrivateKey", "createSecretKey", "publicEncrypt", "privateDecrypt", "privateEncrypt", "publicDecrypt", "diffieHellman"],
];
const crypto = {
  createHash, createHmac, Hash, Hmac, hash, getHashes: () => Object.keys(HASHES), getCiphers: () => [], getCurves: () => [],
  randomBytes, pseudoRandomBytes: randomBytes, randomFillSync, randomFill, randomInt, timingSafeEqual,
  randomUUID: () => webcrypto.randomUUID(), getRandomValues: (view) => webcrypto.getRandomValues(view), webcrypto, subtle: webcrypto.subtle,
  pbkdf2Sync, pbkdf2: withCallback(pbkdf2Sync), hkdfSync, hkdf: withCallback(hkdfSync), scryptSync, scrypt: withCallback((...values) => scryptSync(...values)),
  constants: {}, ...Object.fromEntries(REFUSED.map((name) => [name, elsewhere(name)])),
};
export default () => ({ crypto });
