import ky from "ky";

const answer = async (request) => {
let tries = 0;
  const fetch = async (request) => (++tries < 2 ? new Response("no", { status: 503 }) : Response.json({ url: request.url, method: request.method, body: await request.text() }));
  return [await ky.put("http://a.example/x", { fetch, json: { a: 1 }, searchParams: { b: 2 }, retry: { limit: 2, delay: () => 1 } }).json(), tries];
};
export default { fetch: async (request) => Response.json(await answer(request)) };
