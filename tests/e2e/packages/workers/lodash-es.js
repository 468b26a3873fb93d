import { chunk, debounce, get, orderBy, startCase } from "lodash-es";

const answer = async (request) => {
return [chunk([1, 2, 3], 2), get({ a: [{ b: 1 }] }, "a[0].b"), orderBy([{ n: 2 }, { n: 1 }], "n"), startCase("foo bar"), typeof debounce(() => {}).cancel];
};
export default { fetch: async (request) => Response.json(await answer(request)) };
