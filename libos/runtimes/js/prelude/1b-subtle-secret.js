// crypto.subtle's algorithms with one secret: HMAC, AES, PBKDF2, HKDF.
"use strict";
globalThis.__share.subtleParts.push((subtle) => {
  const { nk, fail, bytes, integer, hashOf, HASHES, newKey, checkUsages, random, encode64, decode64, checkJwk, algorithms } = subtle;
  const define = (name, operations) => { algorithms[name.toUpperCase()] = { name, ...operations }; };

  // A secret of `raw` or of a JWK whose kty is "oct".
  const secretOf = (format, data, use, extractable, usages, jwkName) => {
    if (format === "raw") return data;
    if (format !== "jwk") fail("NotSupportedError", `Unrecognized or unimplemented key format "${format}" for a secret`);
    if (data.kty !== "oct") fail("DataError", 'JWK: "kty" "oct" expected');
    const secret = decode64(data.k, "k");
    checkJwk(data, "oct", use, extractable, usages, jwkName(secret));
    return secret;
  };
  const exported = (format, inner, jwkName) => {
    if (format === "raw") return inner.data.slice().buffer;
    if (format !== "jwk") fail("NotSupportedError", `Unrecognized or unimplemented key format "${format}" for a secret`);
    return { kty: "oct", k: encode64(inner.data), alg: jwkName(inner.data) };
  };

  const hmacName = (hash) => () => "HS" + hash.slice(4);
  const hmacLength = (parameters, otherwise) => {
    if (parameters.length === undefined) return otherwise;
    return integer(parameters.length, 0xffffffff, "length");
  };
  const hmacKey = (secret, bits, hash, extractable, usages) =>
    newKey("secret", extractable, { name: "HMAC", length: bits, hash: { name: hash } }, usages, secret);
  define("HMAC", {
    generateKey(parameters, extractable, usages) {
      checkUsages(usages, ["sign", "verify"]);
      const hash = hashOf(parameters.hash), bits = hmacLength(parameters, HASHES[hash][1]);
      if (bits === 0 || bits > 65536 || bits % 8) fail("OperationError", "HMAC: a length of 8 to 65536 bits in whole bytes expected");
      return hmacKey(random(bits / 8), bits, hash, extractable, usages);
    },
    importKey(format, data, parameters, extractable, usages) {
      checkUsages(usages, ["sign", "verify"]);
      const hash = hashOf(parameters.hash), secret = secretOf(format, data, "sig", extractable, usages, hmacName(hash));
      const whole = secret.length * 8, bits = hmacLength(parameters, whole);
      if (whole === 0) fail("DataError", "HMAC: a key of one byte at least expected");
      if (bits > whole || bits <= whole - 8) fail("DataError", "HMAC: length is not that of the key");
      if (bits % 8) secret[secret.length - 1] &= 0xff << (8 - (bits % 8));
      return hmacKey(secret, bits, hash, extractable, usages);
    },
    exportKey: (format, inner) => exported(format, inner, hmacName(inner.algorithm.hash.name)),
    keyLength(parameters) {
      const bits = hmacLength(parameters, HASHES[hashOf(parameters.hash)][1]);
      if (bits === 0) throw new TypeError("HMAC: a length above 0 expected");
      return bits;
    },
    sign: (parameters, inner, data) => nk.hmac(inner.algorithm.hash.name, inner.data, data),
    verify: (parameters, inner, proof, data) => nk.same(new Uint8Array(nk.hmac(inner.algorithm.hash.name, inner.data, data)), proof),
  });

  const AES_USAGES = ["encrypt", "decrypt", "wrapKey", "unwrapKey"];
  const aesLength = (value) => {
    if (value === undefined) throw new TypeError("AES: a length expected");
    const bits = integer(value, 65535, "length");
    if (bits !== 128 && bits !== 192 && bits !== 256) fail("OperationError", "AES: a length of 128, 192 or 256 bits expected");
    return bits;
  };
  const aes = (name, encrypt, decrypt) => {
    const jwkName = (secret) => `A${secret.length * 8}${name.slice(4)}`;
    const key = (secret, extractable, usages) => newKey("secret", extractable, { name, length: secret.length * 8 }, usages, secret);
    define(name, {
      encrypt, decrypt,
      generateKey(parameters, extractable, usages) {
        checkUsages(usages, AES_USAGES);
        return key(random(aesLength(parameters.length) / 8), extractable, usages);
      },
      importKey(format, data, parameters, extractable, usages) {
        checkUsages(usages, AES_USAGES);
        const secret = secretOf(format, data, "enc", extractable, usages, jwkName);
        if (![16, 24, 32].includes(secret.length)) fail("DataError", "AES: a key of 128, 192 or 256 bits expected");
        return key(secret, extractable, usages);
      },
      exportKey: (format, inner) => exported(format, inner, jwkName),
      keyLength: (parameters) => aesLength(parameters.length),
    });
  };

  const block = (value, what) => {
    const data = bytes(value, what);
    if (data.length !== 16) fail("OperationError", `AES: ${what} of 16 bytes expected`);
    return data;
  };
  const ctr = (parameters, inner, data) => {
    const counter = block(parameters.counter, "counter"), bits = integer(parameters.length, 255, "length");
    if (bits < 1 || bits > 128) fail("OperationError", "AES-CTR: a length of 1 to 128 bits expected");
    if (Math.ceil(data.length / 16) > 2 ** bits) fail("OperationError", "AES-CTR: more blocks than the counter has values");
    return nk.aesCtr(inner.data, counter, bits, data);
  };
  aes("AES-CTR", ctr, ctr);

  aes(
    "AES-CBC",
    (parameters, inner, data) => nk.aesCbcEncrypt(inner.data, block(parameters.iv, "iv"), data),
    (parameters, inner, data) => {
      const iv = block(parameters.iv, "iv");
      const plain = data.length && data.length % 16 === 0 ? nk.aesCbcDecrypt(inner.data, iv, data) : null;
      return plain ?? fail("OperationError", "AES-CBC: decryption failed");
    },
  );

  const TAGS = [32, 64, 96, 104, 112, 120, 128];
  const gcm = (encrypt) => (parameters, inner, data) => {
    const iv = bytes(parameters.iv, "iv"), more = parameters.additionalData === undefined ? new Uint8Array(0) : bytes(parameters.additionalData, "additionalData");
    const tag = parameters.tagLength === undefined ? 128 : integer(parameters.tagLength, 255, "tagLength");
    if (!TAGS.includes(tag)) fail("OperationError", "AES-GCM: a tagLength of 32, 64, 96, 104, 112, 120 or 128 expected");
    if (!iv.length) fail("OperationError", "AES-GCM: an iv of one byte at least expected");
    if (!encrypt && data.length < tag / 8) fail("OperationError", "AES-GCM: fewer bytes than the tag has");
    return nk.aesGcm(inner.data, iv, more, data, tag / 8, encrypt) ?? fail("OperationError", "AES-GCM: decryption failed");
  };
  aes("AES-GCM", gcm(true), gcm(false));

  // Keys that other keys are made of: they are given as they are, and never leave.
  const derivation = (name, deriveBits) => define(name, {
    importKey(format, data, parameters, extractable, usages) {
      if (format !== "raw") fail("NotSupportedError", `${name}: the format "raw" expected`);
      checkUsages(usages, ["deriveKey", "deriveBits"]);
      if (extractable) fail("SyntaxError", `${name}: a key that is not extractable expected`);
      return newKey("secret", false, { name }, usages, data);
    },
    keyLength: () => null,
    deriveBits,
  });
  const BITS_MAX = 8 << 20; // 1 MiB of bytes at once
  const wholeBytes = (bits, what) => {
    if (bits === null || bits === undefined || bits % 8 || bits < 0 || bits > BITS_MAX) fail("OperationError", `${what}: a length in whole bytes, up to ${BITS_MAX} bits, expected`);
    return bits / 8;
  };
  derivation("PBKDF2", (parameters, inner, bits) => {
    const salt = bytes(parameters.salt, "salt"), iterations = integer(parameters.iterations, 0xffffffff, "iterations"), hash = hashOf(parameters.hash);
    if (iterations === 0) fail("OperationError", "PBKDF2: one iteration at least expected");
    return new Uint8Array(nk.pbkdf2(hash, inner.data, salt, iterations, wholeBytes(bits, "PBKDF2")));
  });
  derivation("HKDF", (parameters, inner, bits) => { // RFC 5869
    const hash = hashOf(parameters.hash), salt = bytes(parameters.salt, "salt"), info = bytes(parameters.info, "info");
    const size = wholeBytes(bits, "HKDF"), step = HASHES[hash][0] / 8, out = new Uint8Array(size);
    if (size > 255 * step) fail("OperationError", "HKDF: at most 255 times the bytes of the hash expected");
    const key = new Uint8Array(nk.hmac(hash, salt, inner.data));
    let last = new Uint8Array(0);
    for (let at = 0, number = 1; at < size; at += step, number++) {
      const input = new Uint8Array(last.length + info.length + 1);
      input.set(last);
      input.set(info, last.length);
      input[input.length - 1] = number;
      last = new Uint8Array(nk.hmac(hash, key, input));
      out.set(last.subarray(0, size - at), at);
    }
    return out;
  });
});
