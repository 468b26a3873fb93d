import axios from "axios";

const answer = async (request) => {
const client = axios.create({ adapter: "fetch", env: { fetch: async (request) => Response.json({ method: request.method, url: request.url, type: request.headers.get("content-type"), body: await request.text() }), Request, Response } });
  return [(await client.get("http://a.example/x", { params: { q: [1, 2] } })).data, (await client.post("http://a.example/", { a: 1 })).data];
};
export default { fetch: async (request) => Response.json(await answer(request)) };
