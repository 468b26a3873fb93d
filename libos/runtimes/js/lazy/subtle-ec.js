// crypto.subtle's ECDSA and ECDH. A key's data is its point, uncompressed, and a private one's number.
const SIZES = { __proto__: null, "P-256": 32, "P-384": 48, "P-521": 66 }; // of a coordinate and of a private key, bytes
const JWK_NAMES = { "P-256": "ES256", "P-384": "ES384", "P-521": "ES512" };

export default ({ subtle, concat }) => {
  const { nk, fail, hashOf, noFormat, newKey, innerOf, checkUsages, checkType, pair, encode64, decode64, checkJwk, firstBits } = subtle;

  const curveOf = (parameters) => {
    if (parameters.namedCurve === undefined) throw new TypeError("namedCurve: a name expected");
    return String(parameters.namedCurve);
  };
  const known = (curve, name) => {
    if (!SIZES[curve]) fail(name, `Unrecognized or unimplemented curve "${curve}"`);
  };
  const dataOf = ([point, number]) => ({ point: new Uint8Array(point), ...(number && { number: new Uint8Array(number) }) });

  const fromJwk = (jwk, curve) => {
    if (jwk.crv !== curve) fail("DataError", `JWK: "crv" ${JSON.stringify(curve)} expected`);
    const size = SIZES[curve], x = decode64(jwk.x, "x", size), y = decode64(jwk.y, "y", size);
    const point = concat([new Uint8Array([4]), x, y], 1 + 2 * size);
    if (jwk.d === undefined) return nk.ecPoint(curve, point);
    const number = decode64(jwk.d, "d", size);
    return nk.ecPair(curve, point, number) ? [point, number] : null;
  };
  const READERS = {
    raw: (data, curve) => nk.ecPoint(curve, data),
    spki: (data, curve) => nk.ecParts(curve, data, false),
    pkcs8: (data, curve) => nk.ecParts(curve, data, true),
    jwk: fromJwk,
  };
  const toJwk = (curve, { point, number }) => {
    const size = SIZES[curve];
    return {
      kty: "EC", crv: curve, x: encode64(point.slice(1, 1 + size)), y: encode64(point.slice(1 + size)), ...(number && { d: encode64(number) }),
    };
  };

  const define = (name, publicUse, privateUse, use, operations) => ({
    name,
    ...operations,
    generateKey(parameters) {
      const curve = curveOf(parameters);
      return (extractable, usages) => {
        checkUsages(usages, [...publicUse, ...privateUse]);
        known(curve, "NotSupportedError");
        const made = dataOf(nk.ecGenerate(curve));
        return pair({ name, namedCurve: curve }, extractable, usages, publicUse, privateUse, { point: made.point }, made);
      };
    },
    importKey(parameters) {
      const curve = curveOf(parameters);
      return (format, data, extractable, usages) => {
        const secret = format === "pkcs8" || (format === "jwk" && data.d !== undefined);
        checkUsages(usages, secret ? privateUse : publicUse);
        known(curve, "DataError");
        if (format === "jwk") checkJwk(data, "EC", use, extractable, usages, ...(use === "sig" ? [JWK_NAMES[curve]] : []));
        const parts = READERS[format](data, curve) ?? fail("DataError", `${name}: a key on ${curve} expected`);
        return newKey(secret ? "private" : "public", extractable, { name, namedCurve: curve }, usages, dataOf(parts));
      };
    },
    exportKey(format, inner) {
      const curve = inner.algorithm.namedCurve, { point, number } = inner.data;
      if (format === "jwk") return toJwk(curve, inner.data);
      checkType(inner, format === "pkcs8" ? "private" : "public");
      return format === "raw" ? point.slice().buffer : nk.ecDer(curve, point, number);
    },
  });

  return {
    ECDSA: define("ECDSA", ["verify"], ["sign"], "sig", {
      sign(parameters) {
        const hash = hashOf(parameters.hash);
        return (inner, data) => {
          checkType(inner, "private");
          return nk.ecSign(inner.algorithm.namedCurve, hash, inner.data.number, data) ?? fail("OperationError", "ECDSA: signing failed");
        };
      },
      verify(parameters) {
        const hash = hashOf(parameters.hash);
        return (inner, proof, data) => {
          checkType(inner, "public");
          return nk.ecVerify(inner.algorithm.namedCurve, hash, inner.data.point, proof, data);
        };
      },
    }),
    ECDH: define("ECDH", [], ["deriveKey", "deriveBits"], "enc", {
      deriveBits(parameters) {
        const other = innerOf(parameters.public);
        return (inner, bits) => {
          checkType(inner, "private");
          checkType(other, "public");
          const { name, namedCurve } = inner.algorithm;
          if (other.algorithm.name !== name || other.algorithm.namedCurve !== namedCurve) fail("InvalidAccessError", `ECDH: a public key on ${namedCurve} expected`);
          const secret = nk.ecShared(namedCurve, inner.data.number, other.data.point) ?? fail("OperationError", "ECDH: no shared secret");
          return firstBits(new Uint8Array(secret), bits);
        };
      },
    }),
  };
};
