import { decode, encode } from "cbor-x";

const answer = async (request) => {
const bytes = encode({ a: [1, -2.5, "x", null, true], b: new Map([[1, 2]]), c: new Uint8Array([1]) });
  return [bytes.length, decode(encode({ a: [1, -2.5, "\u00fc", null], big: 123456789012n.toString() }))];
};
export default { fetch: async (request) => Response.json(await answer(request)) };
