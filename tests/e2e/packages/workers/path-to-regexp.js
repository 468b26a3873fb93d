import { compile, match, parse } from "path-to-regexp";

const answer = async (request) => {
return [match("/users/:id{/*rest}")("/users/7/a/b"), compile("/a/:b")({ b: "x y" }), JSON.stringify(parse("/a/:b").tokens)];
};
export default { fetch: async (request) => Response.json(await answer(request)) };
