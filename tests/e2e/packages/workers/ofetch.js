import { createFetch } from "ofetch";

const answer = async (request) => {
const ofetch = createFetch({ fetch: async (url, init) => (String(url).endsWith("/no") ? new Response("{}", { status: 404, headers: { "Content-Type": "application/json" } }) : Response.json({ url: String(url), method: init.method, body: init.body })), Headers, AbortController });
  return [await ofetch("/x", { baseURL: "http://a.example", query: { a: 1 }, method: "POST", body: { b: 2 } }), await ofetch("http://a.example/no").catch((error) => error.status)];
};
export default { fetch: async (request) => Response.json(await answer(request)) };
