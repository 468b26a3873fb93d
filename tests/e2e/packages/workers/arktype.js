import { configure } from "arktype/config";

configure({ jitless: true });
const { type } = await import("arktype");

const answer = async (request) => {
const User = type({ name: "string > 1", "age?": "number.integer" });
  return [User({ name: "Kari" }), User({ name: "K" }).summary];
};
export default { fetch: async (request) => Response.json(await answer(request)) };
