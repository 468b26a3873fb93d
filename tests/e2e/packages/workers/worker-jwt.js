import jwt from "@tsndr/cloudflare-worker-jwt";

const answer = async (request) => {
const token = await jwt.sign({ sub: "kari", iat: 1 }, "secret");
  return [token, Boolean(await jwt.verify(token, "secret")), Boolean(await jwt.verify(token, "other").catch(() => false)), jwt.decode(token).payload];
};
export default { fetch: async (request) => Response.json(await answer(request)) };
