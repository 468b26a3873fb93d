import _ from "lodash";

const answer = async (request) => {
return [_.groupBy([1.2, 1.7, 2.1], Math.floor), _.merge({ a: [{ b: 1 }] }, { a: [{ c: 2 }] }), _.escape("<a>"), _.camelCase("foo bar-baz"), _.cloneDeep({ a: new Map([[1, { b: 2 }]]) }).a.get(1), _.isEqual({ a: [1] }, { a: [1] })];
};
export default { fetch: async (request) => Response.json(await answer(request)) };
