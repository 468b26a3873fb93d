import { parse, stringify, parseDocument } from "yaml";

const answer = async (request) => {
return [parse("a: &x [1, 2.5, yes]\nb: *x\nc: |\n  t\n  u\nd: 2026-01-02"), stringify({ a: [1, { b: "x: y" }], c: null }), parseDocument("a: [").errors.length];
};
export default { fetch: async (request) => Response.json(await answer(request)) };
