import * as R from "ramda";

const answer = async (request) => {
return [R.pipe(R.map(R.add(1)), R.filter(R.lt(2)))([1, 2, 3]), R.assocPath(["a", "b"], 1, {}), R.groupBy((n) => (n % 2 ? "odd" : "even"), [1, 2, 3]), R.equals({ a: [1] }, { a: [1] })];
};
export default { fetch: async (request) => Response.json(await answer(request)) };
