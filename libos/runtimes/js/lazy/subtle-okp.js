// crypto.subtle's Ed25519 and X25519. A key's data is its public half, and a private one's secret.
const SIZE = 32;
// Points of small order, by their y without its sign: multiples of one of order 8, also where a whole p is added.
const SMALL = new Set([
  "0000000000000000000000000000000000000000000000000000000000000000",
  "0100000000000000000000000000000000000000000000000000000000000000",
  "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
  "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
  "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
  "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
  "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
]);

export default ({ subtle }) => {
  const { nk, fail, newKey, innerOf, checkUsages, checkType, pair, random, encode64, decode64, checkJwk, firstBits } = subtle;

  const isSmall = (point) => {
    const y = point.slice(0, SIZE);
    y[SIZE - 1] &= 0x7f;
    return SMALL.has(y.toHex());
  };
  const whole = (name, secret) => ({ secret, point: new Uint8Array(nk.okpPublic(name, secret)) });
  const fromDer = (name, data, secret) => {
    const part = nk.okpPart(name, data, secret);
    return part && (secret ? whole(name, new Uint8Array(part)) : { point: new Uint8Array(part) });
  };
  const fromJwk = (name, jwk) => {
    if (jwk.crv !== name) fail("DataError", `JWK: "crv" ${JSON.stringify(name)} expected`);
    const point = decode64(jwk.x, "x", SIZE);
    if (jwk.d === undefined) return { point };
    const made = whole(name, decode64(jwk.d, "d", SIZE));
    return nk.same(made.point, point) ? made : null;
  };
  const READERS = {
    raw: (name, data) => (data.length === SIZE ? { point: data } : null),
    spki: (name, data) => fromDer(name, data, false),
    pkcs8: (name, data) => fromDer(name, data, true),
    jwk: fromJwk,
  };

  const define = (name, publicUse, privateUse, use, jwkNames, operations) => ({
    name,
    ...operations,
    generateKey: () => (extractable, usages) => {
      checkUsages(usages, [...publicUse, ...privateUse]);
      const made = whole(name, random(SIZE));
      return pair({ name }, extractable, usages, publicUse, privateUse, { point: made.point }, made);
    },
    importKey: () => (format, data, extractable, usages) => {
      const secret = format === "pkcs8" || (format === "jwk" && data.d !== undefined);
      checkUsages(usages, secret ? privateUse : publicUse);
      if (format === "jwk") checkJwk(data, "OKP", use, extractable, usages, ...jwkNames);
      const read = READERS[format](name, data) ?? fail("DataError", `${name}: a key expected`);
      return newKey(secret ? "private" : "public", extractable, { name }, usages, read);
    },
    exportKey(format, inner) {
      const { point, secret } = inner.data;
      if (format === "jwk") return { kty: "OKP", crv: name, x: encode64(point), ...(secret && { d: encode64(secret) }), ...(jwkNames.length && { alg: jwkNames[0] }) };
      checkType(inner, format === "pkcs8" ? "private" : "public");
      return format === "raw" ? point.slice().buffer : nk.okpDer(name, secret ?? point, format === "pkcs8");
    },
  });

  return {
    ED25519: define("Ed25519", ["verify"], ["sign"], "sig", ["Ed25519", "EdDSA"], {
      sign: () => (inner, data) => {
        checkType(inner, "private");
        return nk.edSign(inner.data.secret, data);
      },
      verify: () => (inner, proof, data) => {
        checkType(inner, "public");
        return proof.length === 2 * SIZE && !isSmall(inner.data.point) && !isSmall(proof) && nk.edVerify(inner.data.point, proof, data);
      },
    }),
    X25519: define("X25519", [], ["deriveKey", "deriveBits"], "enc", [], {
      deriveBits(parameters) {
        const other = innerOf(parameters.public);
        return (inner, bits) => {
          checkType(inner, "private");
          checkType(other, "public");
          if (other.algorithm.name !== inner.algorithm.name) fail("InvalidAccessError", "X25519: a public key for X25519 expected");
          const secret = nk.xShared(inner.data.secret, other.data.point) ?? fail("OperationError", "X25519: the public key is of small order");
          return firstBits(new Uint8Array(secret), bits);
        };
      },
    }),
  };
};
