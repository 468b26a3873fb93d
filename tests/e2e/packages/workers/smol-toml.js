import { parse, stringify } from "smol-toml";

const answer = async (request) => {
return [parse("a = 1\n[b]\nc = [\"d\", \"e\"]\n"), stringify({ a: 1, b: { c: "d" } })];
};
export default { fetch: async (request) => Response.json(await answer(request)) };
