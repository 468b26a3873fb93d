import { Redis } from "@upstash/redis/cloudflare";

const answer = async (request) => {
globalThis.fetch = async (url, init) => Response.json(JSON.parse(init.body).map(([command]) => ({ result: command === "get" ? btoa(JSON.stringify({ a: 1 })) : "OK" })));
  const redis = new Redis({ url: "https://r.example", token: "t" });
  return [await redis.set("k", { a: 1 }), await redis.get("k")];
};
export default { fetch: async (request) => Response.json(await answer(request)) };
