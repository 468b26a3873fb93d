// crypto.subtle (W3C, Web Cryptography Level 2): keys, its methods with the checks that all algorithms have in common, and where
// each algorithm is found. An algorithm's operation is called with the parameters that a worker gave and reads them; what it
// returns is called with the key, once that is known to be the right one, and does the work.
import { interfaces } from "./common/classes.js";
import { tools } from "./subtle/tools.js";

const EVERY_USAGE = ["encrypt", "decrypt", "sign", "verify", "deriveKey", "deriveBits", "wrapKey", "unwrapKey"];
const FORMATS = ["raw", "spki", "pkcs8", "jwk"];
const ONE_SECRET = "subtle-secret", RSA = "subtle-rsa", CURVE = "subtle-ec", MONTGOMERY = "subtle-okp";
const PART_OF = {
  __proto__: null,
  HMAC: ONE_SECRET, "AES-CTR": ONE_SECRET, "AES-CBC": ONE_SECRET, "AES-GCM": ONE_SECRET, "AES-KW": ONE_SECRET,
  PBKDF2: ONE_SECRET, HKDF: ONE_SECRET,
  "RSASSA-PKCS1-V1_5": RSA, "RSA-PSS": RSA, "RSA-OAEP": RSA,
  ECDSA: CURVE, ECDH: CURVE, ED25519: MONTGOMERY, X25519: MONTGOMERY,
};

export default (share) => {
  const { nk } = share;
  const BUILT = Symbol();
  const hidden = new WeakMap(); // of a CryptoKey: what it holds

  const { CryptoKey } = interfaces({ CryptoKey: class {
    constructor(...given) {
      const [built, type, extractable, algorithm, usages, data] = given;
      if (built !== BUILT) throw new TypeError("Illegal constructor");
      hidden.set(this, { type, extractable, algorithm, usages: EVERY_USAGE.filter((usage) => usages.includes(usage)), data });
    }
    get type() { return innerOf(this).type; }
    get extractable() { return innerOf(this).extractable; }
    get algorithm() { return shownOf(this).algorithm; }
    get usages() { return shownOf(this).usages; }
  } });
  const innerOf = (key) => hidden.get(key) ?? (() => { throw new TypeError("CryptoKey expected"); })();
  const newKey = (type, extractable, algorithm, usages, data) => new CryptoKey(BUILT, type, extractable, algorithm, usages, data);

  const shownOf = (key) => { // what a worker sees of it, and may change: the key itself stays what it is
    const inner = innerOf(key), { hash, publicExponent } = inner.algorithm;
    return (inner.shown ??= {
      algorithm: { ...inner.algorithm, ...(publicExponent && { publicExponent: publicExponent.slice() }), ...(hash && { hash: { ...hash } }) },
      usages: [...inner.usages],
    });
  };

  const subtle = (share.subtle = tools(share, innerOf, newKey));
  const { fail, bytes, hashOf, nameOf } = subtle;

  // An algorithm, and its operation with its parameters read; of an algorithm that has the other one, that.
  const find = (operation, algorithm, other) => {
    const name = nameOf(algorithm), upper = name.toUpperCase(), part = PART_OF[upper];
    const kind = part && share.part(part)[upper], run = kind && (kind[operation] ?? kind[other]);
    if (!run) fail("NotSupportedError", `Unrecognized or unimplemented algorithm "${name}" for ${operation}`);
    return [kind, run(typeof algorithm === "object" ? algorithm : {})];
  };
  const usagesOf = (list) => {
    const usages = [...list].map(String);
    for (const usage of usages) if (!EVERY_USAGE.includes(usage)) throw new TypeError(`"${usage}" is not a key usage`);
    return [...new Set(usages)];
  };
  const formatOf = (value) => {
    const format = String(value);
    if (!FORMATS.includes(format)) throw new TypeError(`"${format}" is not a key format`);
    return format;
  };
  // The key's content, if this algorithm and this use are its own.
  const keyFor = (key, kind, usage) => {
    const inner = innerOf(key);
    if (inner.algorithm.name !== kind.name) fail("InvalidAccessError", `The key is for ${inner.algorithm.name}, not for ${kind.name}`);
    if (!inner.usages.includes(usage)) fail("InvalidAccessError", `The key's usages do not permit "${usage}"`);
    return inner;
  };
  const operate = (operation, algorithm, key, ...data) => {
    const [kind, run] = find(operation, algorithm);
    return run(keyFor(key, kind, operation), ...data);
  };
  const notEmpty = (made) => {
    const secret = made.privateKey ?? made;
    if (secret.type !== "public") subtle.checkUsed(secret.usages);
    return made;
  };
  const given = (format, data) => {
    if (format !== "jwk") return bytes(data, "keyData");
    if (typeof data !== "object" || data === null || share.bytesOf(data)) throw new TypeError("keyData: a JSON Web Key expected");
    return data;
  };
  const importKey = (format, data, algorithm, extractable, usages) => {
    const [, run] = find("importKey", algorithm);
    return notEmpty(run(format, given(format, data), !!extractable, usages));
  };
  const exportKey = (format, key) => {
    const inner = innerOf(key), [kind] = find("importKey", inner.algorithm);
    if (!kind.exportKey) fail("NotSupportedError", `${kind.name} keys cannot be exported`);
    if (!inner.extractable) fail("InvalidAccessError", "The key is not extractable");
    const out = kind.exportKey(format, inner);
    return format === "jwk" ? { ...out, key_ops: [...inner.usages], ext: inner.extractable } : out;
  };

  const { SubtleCrypto } = interfaces({ SubtleCrypto: class {
    constructor(...given) { if (given[0] !== BUILT) throw new TypeError("Illegal constructor"); }
    async digest(algorithm, data) {
      const input = bytes(data);
      return nk.hash(hashOf(algorithm), input);
    }
    async encrypt(algorithm, key, data) { return operate("encrypt", algorithm, key, bytes(data)); }
    async decrypt(algorithm, key, data) { return operate("decrypt", algorithm, key, bytes(data)); }
    async sign(algorithm, key, data) { return operate("sign", algorithm, key, bytes(data)); }
    async verify(algorithm, key, signature, data) { return operate("verify", algorithm, key, bytes(signature, "signature"), bytes(data)); }
    async generateKey(algorithm, extractable, keyUsages) {
      share.onlyMachine("crypto.subtle.generateKey()");
      const usages = usagesOf(keyUsages), [, run] = find("generateKey", algorithm);
      return notEmpty(run(!!extractable, usages));
    }
    async importKey(format, keyData, algorithm, extractable, keyUsages) {
      return importKey(formatOf(format), keyData, algorithm, extractable, usagesOf(keyUsages));
    }
    async exportKey(format, key) { return exportKey(formatOf(format), key); }
    async deriveBits(algorithm, baseKey, length = null) {
      const [kind, run] = find("deriveBits", algorithm);
      return run(keyFor(baseKey, kind, "deriveBits"), length === null ? null : length >>> 0).slice().buffer;
    }
    async deriveKey(algorithm, baseKey, derivedKeyType, extractable, keyUsages) {
      const usages = usagesOf(keyUsages), [kind, run] = find("deriveBits", algorithm), [, length] = find("keyLength", derivedKeyType);
      const inner = keyFor(baseKey, kind, "deriveKey");
      return importKey("raw", run(inner, length()), derivedKeyType, extractable, usages);
    }
    async wrapKey(format, key, wrappingKey, wrapAlgorithm) {
      const wanted = formatOf(format), [kind, run] = find("wrapKey", wrapAlgorithm, "encrypt");
      const inner = keyFor(wrappingKey, kind, "wrapKey"), plain = exportKey(wanted, key);
      return run(inner, wanted === "jwk" ? nk.encode(JSON.stringify(plain)) : new Uint8Array(plain));
    }
    async unwrapKey(format, wrappedKey, unwrappingKey, unwrapAlgorithm, unwrappedKeyAlgorithm, extractable, keyUsages) {
      const wanted = formatOf(format), usages = usagesOf(keyUsages), sealed = bytes(wrappedKey, "wrappedKey");
      const [kind, run] = find("unwrapKey", unwrapAlgorithm, "decrypt");
      find("importKey", unwrappedKeyAlgorithm);
      const plain = new Uint8Array(run(keyFor(unwrappingKey, kind, "unwrapKey"), sealed));
      return importKey(wanted, wanted === "jwk" ? subtle.parsedJwk(plain) : plain, unwrappedKeyAlgorithm, extractable, usages);
    }
    timingSafeEqual(a, b) { // workerd's own
      const one = share.bytesOf(a), other = share.bytesOf(b);
      if (!one || !other) throw new TypeError("timingSafeEqual: ArrayBuffers or views expected");
      if (one.byteLength !== other.byteLength) throw new TypeError("Input buffers must have the same byte length.");
      return nk.same(bytes(one), bytes(other));
    }
  } });
  return { CryptoKey, SubtleCrypto, subtle: new SubtleCrypto(BUILT) };
};
