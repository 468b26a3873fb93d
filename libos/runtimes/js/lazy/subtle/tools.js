// What the algorithms of crypto.subtle have in common: arguments read, JSON Web Keys (RFC 7517) checked, errors thrown.
const HASHES = { "SHA-1": [160, 512], "SHA-256": [256, 512], "SHA-384": [384, 1024], "SHA-512": [512, 1024] }; // digest, block: bits

export const tools = (share, innerOf, newKey) => {
  const { nk } = share;
  const fail = (name, message) => { throw new DOMException(message, name); };

  // Bytes that a worker gave are copied before anything else happens.
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
  const hashOf = (algorithm) => {
    const name = nameOf(algorithm).toUpperCase();
    if (!Object.hasOwn(HASHES, name)) fail("NotSupportedError", `Unrecognized or unimplemented digest algorithm "${nameOf(algorithm)}"`);
    return name;
  };
  const noFormat = (format, name) => fail("NotSupportedError", `${name}: no keys of the format "${format}"`);

  const checkUsages = (usages, allowed) => {
    for (const usage of usages) if (!allowed.includes(usage)) fail("SyntaxError", `Unsupported key usage "${usage}" for this kind of key`);
  };
  const checkUsed = (usages) => {
    if (!usages.length) fail("SyntaxError", "Usages cannot be empty when creating a key");
  };
  const only = (usages, allowed) => usages.filter((usage) => allowed.includes(usage));
  const checkType = (inner, type) => {
    if (inner.type !== type) fail("InvalidAccessError", `A ${type} key expected, got a ${inner.type} one`);
  };
  const pair = (algorithm, extractable, usages, publicUse, privateUse, publicData, privateData) => ({
    publicKey: newKey("public", true, algorithm, only(usages, publicUse), publicData),
    privateKey: newKey("private", extractable, algorithm, only(usages, privateUse), privateData),
  });

  const random = (size) => { const out = new Uint8Array(size); nk.random(out); return out; };
  const encode64 = (data) => new Uint8Array(data).toBase64({ alphabet: "base64url", omitPadding: true });
  // @param size: bytes that there must be, if not any number.
  const decode64 = (text, what, size) => {
    const wrong = () => fail("DataError", `JWK: base64url${size === undefined ? "" : ` of ${size} bytes`} expected in "${what}"`);
    if (typeof text !== "string" || !/^[A-Za-z0-9_-]*$/.test(text)) wrong();
    let data;
    try { data = Uint8Array.fromBase64(text, { alphabet: "base64url" }); } catch { wrong(); }
    return size === undefined || data.length === size ? data : wrong();
  };
  // A JWK's members that are the same for every kind of key: RFC 7517, section 4, as WebCrypto reads them.
  const checkJwk = (jwk, kty, use, extractable, usages, ...algorithms) => {
    if (jwk.kty !== kty) fail("DataError", `JWK: "kty" ${JSON.stringify(kty)} expected`);
    if (usages.length && jwk.use !== undefined && jwk.use !== use) fail("DataError", `JWK: "use" ${JSON.stringify(use)} expected`);
    if (jwk.key_ops !== undefined) {
      if (!Array.isArray(jwk.key_ops) || new Set(jwk.key_ops).size !== jwk.key_ops.length) fail("DataError", 'JWK: "key_ops" with distinct names expected');
      for (const usage of usages) if (!jwk.key_ops.includes(usage)) fail("DataError", `JWK: "key_ops" has no "${usage}"`);
    }
    if (jwk.ext === false && extractable) fail("DataError", "JWK: the key is not to be extractable");
    if (jwk.alg !== undefined && algorithms.length && !algorithms.includes(jwk.alg)) fail("DataError", `JWK: "alg" ${algorithms.join(" or ")} expected`);
  };
  const parsedJwk = (data) => {
    try {
      const jwk = JSON.parse(nk.decode(data));
      if (typeof jwk === "object" && jwk !== null && jwk.kty !== undefined) return jwk;
    } catch {}
    return fail("DataError", 'JWK: an object of JSON with "kty" expected');
  };
  // A shared secret's first bits: all of them where nobody says how many.
  const firstBits = (secret, bits) => {
    if (bits === null) return secret;
    if (bits > secret.length * 8) fail("OperationError", `At most ${secret.length * 8} bits expected`);
    const out = secret.slice(0, Math.ceil(bits / 8));
    if (bits % 8) out[out.length - 1] &= 0xff << (8 - (bits % 8));
    return out;
  };
  return {
    nk, fail, bytes, integer, nameOf, hashOf, HASHES, noFormat, newKey, innerOf, checkUsages, checkUsed, only, checkType, pair, random, encode64, decode64,
    checkJwk, parsedJwk, firstBits,
  };
};
