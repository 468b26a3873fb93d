import { pack, unpack } from "msgpackr";

const answer = async (request) => {
const bytes = pack({ a: [1, -2.5, "x", null, true], b: { c: "\u00fc" } });
  return [[...bytes], unpack(bytes)];
};
export default { fetch: async (request) => Response.json(await answer(request)) };
