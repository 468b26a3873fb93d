import Stripe from "stripe";

const answer = async (request) => {
const fetch = async (url, init) => Response.json({ id: "cus_1", object: "customer", sent: String(init.body), version: init.headers["Stripe-Version"] ?? null });
  const stripe = new Stripe("sk_test_x", { httpClient: Stripe.createFetchHttpClient(fetch), apiVersion: "2024-06-20" });
  const payload = JSON.stringify({ id: "evt_1", object: "event", type: "ping" });
  const crypto = Stripe.createSubtleCryptoProvider(), at = Math.floor(Date.now() / 1000);
  const header = await stripe.webhooks.generateTestHeaderStringAsync({ payload, secret: "whsec_x", timestamp: at, cryptoProvider: crypto });
  const event = await stripe.webhooks.constructEventAsync(payload, header, "whsec_x", 300, crypto);
  const forged = await stripe.webhooks.constructEventAsync(payload, header, "whsec_y", 300, crypto).catch((error) => error.type);
  return [(await stripe.customers.create({ name: "Kari", metadata: { a: "b c" } })).sent, event.type, forged];
};
export default { fetch: async (request) => Response.json(await answer(request)) };
