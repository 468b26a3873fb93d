import * as jose from "jose";
import { AwsClient } from "aws4fetch";
import Stripe from "stripe";

const signed = async ({ alg, secret, open }) => {
  const key = await jose.importJWK(secret, alg);
  const token = await new jose.SignJWT({ name: "Kari" }).setProtectedHeader({ alg }).setIssuer("us").setExpirationTime("2h").sign(key);
  const { payload } = await jose.jwtVerify(token, await jose.importJWK(open ?? secret, alg), { issuer: "us" });
  const broken = token.slice(0, -6) + (token.at(-6) === "A" ? "B" : "A") + token.slice(-5);
  const refused = await jose.jwtVerify(broken, await jose.importJWK(open ?? secret, alg)).catch((error) => error.code);
  return { token, name: payload.name, refused };
};
const sealed = async ({ alg, enc, secret, open }) => {
  const text = new TextEncoder().encode("text");
  const jwe = await new jose.CompactEncrypt(text).setProtectedHeader({ alg, enc }).encrypt(await jose.importJWK(open ?? secret, alg));
  const { plaintext } = await jose.compactDecrypt(jwe, await jose.importJWK(secret, alg));
  return new TextDecoder().decode(plaintext);
};
const aws = async () => {
  const client = new AwsClient({ accessKeyId: "AKIDEXAMPLE", secretAccessKey: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", service: "service", region: "us-east-1" });
  const request = await client.sign("https://example.amazonaws.com/", { aws: { datetime: "20150830T123600Z" } });
  return request.headers.get("authorization");
};
const stripe = async ({ payload, header, secret }) => {
  const client = new Stripe("sk_test_none", { httpClient: Stripe.createFetchHttpClient() });
  const check = (text) => client.webhooks.constructEventAsync(text, header, secret, undefined, Stripe.createSubtleCryptoProvider(), 1_600_000_000_000);
  return [(await check(payload)).id, await check(payload + " ").catch((error) => error.type)];
};
const TASKS = { signed, sealed, aws, stripe };

export default {
  async fetch(request) {
    const { task, ...given } = await request.json();
    try { return Response.json(await TASKS[task](given)); } catch (error) { return Response.json(`${error.name}: ${error.message} ${error.stack}`); }
  },
};
