import { CompactEncrypt, compactDecrypt, createLocalJWKSet, decodeJwt, exportJWK, generateKeyPair, jwtVerify, SignJWT } from "jose";

const answer = async (request) => {
const secret = new TextEncoder().encode("a secret that is long enough for HS256");
  const token = await new SignJWT({ a: 1 }).setProtectedHeader({ alg: "HS256" }).setIssuedAt(0).setExpirationTime(4102444800).sign(secret);
  const { publicKey, privateKey } = await generateKeyPair("ES256", { extractable: true });
  const signed = await new SignJWT({ b: 2 }).setProtectedHeader({ alg: "ES256", kid: "k" }).sign(privateKey);
  const keys = createLocalJWKSet({ keys: [{ ...(await exportJWK(publicKey)), kid: "k", alg: "ES256" }] });
  const box = await new CompactEncrypt(new Uint8Array([1, 2])).setProtectedHeader({ alg: "dir", enc: "A256GCM" }).encrypt(secret.slice(0, 32));
  return [token, decodeJwt(token), (await jwtVerify(token, secret)).payload, await jwtVerify(token, secret.slice(1)).catch((error) => error.code), (await jwtVerify(signed, keys)).payload, [...(await compactDecrypt(box, secret.slice(0, 32))).plaintext]];
};
export default { fetch: async (request) => Response.json(await answer(request)) };
