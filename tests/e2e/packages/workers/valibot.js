import * as v from "valibot";

const answer = async (request) => {
const User = v.object({ name: v.pipe(v.string(), v.minLength(2)), age: v.optional(v.number()) });
  const bad = v.safeParse(User, { name: "K", age: "x" });
  return [v.parse(User, { name: "Kari" }), bad.issues.map((issue) => [issue.message, issue.path[0].key])];
};
export default { fetch: async (request) => Response.json(await answer(request)) };
