import { parse, stringify, uneval } from "devalue";

const answer = async (request) => {
const value = { a: [1, new Date(0)], b: new Map([[1, /x/g]]), c: undefined, d: -0 };
  value.self = value;
  const back = parse(stringify(value));
  return [stringify(value), uneval({ a: new Set([1]), b: "</script>" }), back.self === back];
};
export default { fetch: async (request) => Response.json(await answer(request)) };
