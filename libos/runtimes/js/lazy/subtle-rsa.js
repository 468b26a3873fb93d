// crypto.subtle's RSASSA-PKCS1-v1_5, RSA-PSS and RSA-OAEP. A key's data is its DER: PKCS #8 of a private one, SPKI of a public one.
const BITS_MIN = 512, BITS_MAX = 16384, BITS_STEP = 128; // of a modulus, as BoringSSL makes them
const EXPONENTS = new Set(["03", "010001"]); // those that others know, too
const PARTS = ["n", "e", "d", "p", "q", "dp", "dq", "qi"]; // of a JWK: RFC 7518, section 6.3

export default ({ subtle }) => {
  const { nk, fail, bytes, integer, hashOf, noFormat, newKey, checkUsages, checkUsed, only, checkType, pair, encode64, decode64, checkJwk } = subtle;

  const jwkParts = (jwk, extractable, usages, use, alg) => {
    checkJwk(jwk, "RSA", use, extractable, usages, alg);
    if (jwk.oth !== undefined) fail("NotSupportedError", "JWK: two primes expected");
    return PARTS.slice(0, jwk.d === undefined ? 2 : 8).map((name) => decode64(jwk[name], name));
  };

  const define = (name, publicUse, privateUse, use, jwkName, operations) => {
    const algorithmOf = ([n, e], hash) => {
      const modulus = new Uint8Array(n);
      return { name, modulusLength: modulus.length * 8 - Math.clz32(modulus[0]) + 24, publicExponent: new Uint8Array(e), hash: { name: hash } };
    };
    return {
      name,
      ...operations,
      generateKey(parameters) {
        const bits = integer(parameters.modulusLength, 0xffffffff, "modulusLength"), hash = hashOf(parameters.hash);
        if (!(parameters.publicExponent instanceof Uint8Array)) throw new TypeError("publicExponent: a Uint8Array expected");
        const exponent = bytes(parameters.publicExponent);
        return (extractable, usages) => {
          checkUsages(usages, [...publicUse, ...privateUse]);
          const fits = bits >= BITS_MIN && bits <= BITS_MAX && bits % BITS_STEP === 0 && EXPONENTS.has(exponent.toHex().replace(/^(00)+/, ""));
          if (!fits) fail("OperationError", `RSA: 3 or 65537 as exponent, and a modulus of a multiple of ${BITS_STEP} bits from ${BITS_MIN} to ${BITS_MAX} expected`);
          checkUsed(only(usages, privateUse)); // before it costs
          const made = nk.rsaGenerate(bits, exponent) ?? fail("OperationError", "RSA: no key was found");
          const secret = new Uint8Array(made), parts = nk.rsaParts(secret, true);
          const open = new Uint8Array(nk.rsaKey(parts.slice(0, 2).map((part) => new Uint8Array(part))));
          return pair(algorithmOf(parts, hash), extractable, usages, publicUse, privateUse, open, secret);
        };
      },
      importKey(parameters) {
        const hash = hashOf(parameters.hash);
        return (format, data, extractable, usages) => {
          if (format === "raw") noFormat(format, name);
          const secret = format === "pkcs8" || (format === "jwk" && data.d !== undefined);
          checkUsages(usages, secret ? privateUse : publicUse);
          const parts = format === "jwk" ? jwkParts(data, extractable, usages, use, jwkName(hash)) : nk.rsaParts(data, secret);
          const der = parts && nk.rsaKey(parts.map((part) => new Uint8Array(part)));
          if (!der) fail("DataError", `${name}: an RSA key expected`);
          return newKey(secret ? "private" : "public", extractable, algorithmOf(nk.rsaParts(new Uint8Array(der), secret), hash), usages, new Uint8Array(der));
        };
      },
      exportKey(format, inner) {
        if (format === "raw") noFormat(format, name);
        if (format !== "jwk") checkType(inner, format === "spki" ? "public" : "private");
        if (format !== "jwk") return inner.data.slice().buffer;
        const out = { kty: "RSA", alg: jwkName(inner.algorithm.hash.name) };
        nk.rsaParts(inner.data, inner.type === "private").forEach((part, at) => { out[PARTS[at]] = encode64(part); });
        return out;
      },
    };
  };

  const signing = (saltOf) => ({
    sign(parameters) {
      const salt = saltOf(parameters);
      return (inner, data) => {
        checkType(inner, "private");
        return nk.rsaSign(inner.data, inner.algorithm.hash.name, salt, data) ?? fail("OperationError", "RSA: the modulus is too small for this signature");
      };
    },
    verify(parameters) {
      const salt = saltOf(parameters);
      return (inner, proof, data) => {
        checkType(inner, "public");
        return nk.rsaVerify(inner.data, inner.algorithm.hash.name, salt, proof, data);
      };
    },
  });
  const oaep = (encrypt) => (parameters) => {
    const label = parameters.label === undefined ? new Uint8Array(0) : bytes(parameters.label, "label");
    return (inner, data) => {
      checkType(inner, encrypt ? "public" : "private");
      const out = nk.rsaOaep(inner.data, inner.algorithm.hash.name, label, data, encrypt);
      return out ?? fail("OperationError", encrypt ? "RSA-OAEP: more bytes than the modulus has room for" : "RSA-OAEP: decryption failed");
    };
  };
  const number = (hash) => (hash === "SHA-1" ? "1" : hash.slice(4));
  return {
    "RSASSA-PKCS1-V1_5": define("RSASSA-PKCS1-v1_5", ["verify"], ["sign"], "sig", (hash) => "RS" + number(hash), signing(() => -1)),
    "RSA-PSS": define("RSA-PSS", ["verify"], ["sign"], "sig", (hash) => "PS" + number(hash),
      signing((parameters) => Math.min(integer(parameters.saltLength, 0xffffffff, "saltLength"), BITS_MAX))),
    "RSA-OAEP": define("RSA-OAEP", ["encrypt", "wrapKey"], ["decrypt", "unwrapKey"], "enc",
      (hash) => (hash === "SHA-1" ? "RSA-OAEP" : "RSA-OAEP-" + number(hash)), { encrypt: oaep(true), decrypt: oaep(false) }),
  };
};
