// crypto.subtle's algorithms with one secret: HMAC, AES, PBKDF2, HKDF. A key's data is the secret.
export default ({ subtle }) => {
  const { nk, fail, bytes, integer, hashOf, HASHES, noFormat, newKey, checkUsages, random, encode64, decode64, checkJwk } = subtle;

  // A secret of `raw` or of a JWK whose kty is "oct".
  const secretOf = (format, data, use, extractable, usages, jwkName) => {
    if (format === "raw") return data;
    if (format !== "jwk") noFormat(format, "A secret");
    if (data.kty !== "oct") fail("DataError", 'JWK: "kty" "oct" expected');
    const secret = decode64(data.k, "k");
    checkJwk(data, "oct", use, extractable, usages, jwkName(secret));
    return secret;
  };
  const exported = (format, inner, jwkName) => {
    if (format === "raw") return inner.data.slice().buffer;
    if (format !== "jwk") noFormat(format, "A secret");
    return { kty: "oct", k: encode64(inner.data), alg: jwkName(inner.data) };
  };

  const hmacName = (hash) => () => "HS" + hash.slice(4);
  const hmacLength = (parameters, otherwise) => {
    if (parameters.length === undefined) return otherwise;
    return integer(parameters.length, 0xffffffff, "length");
  };
  const hmacKey = (secret, bits, hash, extractable, usages) =>
    newKey("secret", extractable, { name: "HMAC", length: bits, hash: { name: hash } }, usages, secret);
  const HMAC = {
    name: "HMAC",
    generateKey(parameters) {
      const hash = hashOf(parameters.hash), bits = hmacLength(parameters, HASHES[hash][1]);
      return (extractable, usages) => {
        checkUsages(usages, ["sign", "verify"]);
        if (bits === 0 || bits > 65536 || bits % 8) fail("OperationError", "HMAC: a length of 8 to 65536 bits in whole bytes expected");
        return hmacKey(random(bits / 8), bits, hash, extractable, usages);
      };
    },
    importKey(parameters) {
      const hash = hashOf(parameters.hash), length = hmacLength(parameters, null);
      return (format, data, extractable, usages) => {
        checkUsages(usages, ["sign", "verify"]);
        const secret = secretOf(format, data, "sig", extractable, usages, hmacName(hash));
        const whole = secret.length * 8, bits = length ?? whole;
        if (whole === 0) fail("DataError", "HMAC: a key of one byte at least expected");
        if (bits > whole || bits <= whole - 8) fail("DataError", "HMAC: length is not that of the key");
        if (bits % 8) secret[secret.length - 1] &= 0xff << (8 - (bits % 8));
        return hmacKey(secret, bits, hash, extractable, usages);
      };
    },
    exportKey: (format, inner) => exported(format, inner, hmacName(inner.algorithm.hash.name)),
    keyLength(parameters) {
      const bits = hmacLength(parameters, HASHES[hashOf(parameters.hash)][1]);
      if (bits === 0) throw new TypeError("HMAC: a length above 0 expected");
      return () => bits;
    },
    sign: () => (inner, data) => nk.hmac(inner.algorithm.hash.name, inner.data, data),
    verify: () => (inner, proof, data) => nk.same(new Uint8Array(nk.hmac(inner.algorithm.hash.name, inner.data, data)), proof),
  };

  const SIZES = [128, 192, 256];
  const aesLength = (value) => {
    if (value === undefined) throw new TypeError("AES: a length expected");
    return integer(value, 65535, "length");
  };
  const fitting = (bits) => (SIZES.includes(bits) ? bits : fail("OperationError", "AES: a length of 128, 192 or 256 bits expected"));
  const aes = (name, operations, allowed = ["encrypt", "decrypt", "wrapKey", "unwrapKey"]) => {
    const jwkName = (secret) => `A${secret.length * 8}${name.slice(4)}`;
    const key = (secret, extractable, usages) => newKey("secret", extractable, { name, length: secret.length * 8 }, usages, secret);
    return {
      name,
      ...operations,
      generateKey(parameters) {
        const bits = aesLength(parameters.length);
        return (extractable, usages) => {
          checkUsages(usages, allowed);
          return key(random(fitting(bits) / 8), extractable, usages);
        };
      },
      importKey: () => (format, data, extractable, usages) => {
        checkUsages(usages, allowed);
        const secret = secretOf(format, data, "enc", extractable, usages, jwkName);
        if (!SIZES.includes(secret.length * 8)) fail("DataError", "AES: a key of 128, 192 or 256 bits expected");
        return key(secret, extractable, usages);
      },
      exportKey: (format, inner) => exported(format, inner, jwkName),
      keyLength(parameters) {
        const bits = aesLength(parameters.length);
        return () => fitting(bits);
      },
    };
  };

  const checkBlock = (data, what) => {
    if (data.length !== 16) fail("OperationError", `AES: ${what} of 16 bytes expected`);
  };
  const ctr = (parameters) => {
    const counter = bytes(parameters.counter, "counter"), bits = integer(parameters.length, 255, "length");
    return (inner, data) => {
      checkBlock(counter, "counter");
      if (bits < 1 || bits > 128) fail("OperationError", "AES-CTR: a length of 1 to 128 bits expected");
      if (Math.ceil(data.length / 16) > 2 ** bits) fail("OperationError", "AES-CTR: more blocks than the counter has values");
      return nk.aesCtr(inner.data, counter, bits, data);
    };
  };
  const cbc = (encrypt) => (parameters) => {
    const iv = bytes(parameters.iv, "iv");
    return (inner, data) => {
      checkBlock(iv, "iv");
      if (encrypt) return nk.aesCbcEncrypt(inner.data, iv, data);
      const plain = data.length && data.length % 16 === 0 ? nk.aesCbcDecrypt(inner.data, iv, data) : null;
      return plain ?? fail("OperationError", "AES-CBC: decryption failed");
    };
  };
  const TAGS = [32, 64, 96, 104, 112, 120, 128];
  const gcm = (encrypt) => (parameters) => {
    const iv = bytes(parameters.iv, "iv"), more = parameters.additionalData === undefined ? new Uint8Array(0) : bytes(parameters.additionalData, "additionalData");
    const tag = parameters.tagLength === undefined ? 128 : integer(parameters.tagLength, 255, "tagLength");
    return (inner, data) => {
      if (!TAGS.includes(tag)) fail("OperationError", "AES-GCM: a tagLength of 32, 64, 96, 104, 112, 120 or 128 expected");
      if (!iv.length) fail("OperationError", "AES-GCM: an iv of one byte at least expected");
      if (!encrypt && data.length < tag / 8) fail("OperationError", "AES-GCM: fewer bytes than the tag has");
      return nk.aesGcm(inner.data, iv, more, data, tag / 8, encrypt) ?? fail("OperationError", "AES-GCM: decryption failed");
    };
  };
  const kw = (wrap) => () => (inner, data) =>
    nk.aesKw(inner.data, data, wrap) ?? fail("OperationError", wrap ? "AES-KW: 16 bytes at least, in multiples of 8, expected" : "AES-KW: unwrapping failed");

  // Keys that other keys are made of: they are given as they are, and never leave.
  const BITS_MAX = 8 << 20; // 1 MiB of bytes at once
  const derivation = (name, read) => ({
    name,
    importKey: () => (format, data, extractable, usages) => {
      if (format !== "raw") noFormat(format, name);
      checkUsages(usages, ["deriveKey", "deriveBits"]);
      if (extractable) fail("SyntaxError", `${name}: a key that is not extractable expected`);
      return newKey("secret", false, { name }, usages, data);
    },
    keyLength: () => () => null,
    deriveBits(parameters) {
      const derive = read(parameters);
      return (inner, bits) => {
        if (bits === null || bits % 8 || bits > BITS_MAX) fail("OperationError", `${name}: a length in whole bytes, up to ${BITS_MAX} bits, expected`);
        return new Uint8Array(derive(inner.data, bits / 8));
      };
    },
  });
  const PBKDF2 = derivation("PBKDF2", (parameters) => {
    const salt = bytes(parameters.salt, "salt"), iterations = integer(parameters.iterations, 0xffffffff, "iterations"), hash = hashOf(parameters.hash);
    return (secret, size) => {
      if (iterations === 0) fail("OperationError", "PBKDF2: one iteration at least expected");
      return nk.pbkdf2(hash, secret, salt, iterations, size);
    };
  });
  const HKDF = derivation("HKDF", (parameters) => {
    const hash = hashOf(parameters.hash), salt = bytes(parameters.salt, "salt"), info = bytes(parameters.info, "info");
    return (secret, size) => nk.hkdf(hash, secret, salt, info, size) ?? fail("OperationError", "HKDF: at most 255 times the bytes of the hash expected");
  });

  return {
    HMAC, PBKDF2, HKDF,
    "AES-CTR": aes("AES-CTR", { encrypt: ctr, decrypt: ctr }),
    "AES-CBC": aes("AES-CBC", { encrypt: cbc(true), decrypt: cbc(false) }),
    "AES-GCM": aes("AES-GCM", { encrypt: gcm(true), decrypt: gcm(false) }),
    "AES-KW": aes("AES-KW", { wrapKey: kw(true), unwrapKey: kw(false) }, ["wrapKey", "unwrapKey"]),
  };
};
