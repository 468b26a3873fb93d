import qs from "qs";

const answer = async (request) => {
return [qs.parse("a[b][]=1&a[b][]=2&c=%C3%BC"), qs.stringify({ a: { b: [1, 2] }, c: "x y" }), qs.stringify({ a: [1] }, { arrayFormat: "brackets", encode: false })];
};
export default { fetch: async (request) => Response.json(await answer(request)) };
