import { assert, object, string, number, optional, validate } from "superstruct";

const answer = async (request) => {
const User = object({ name: string(), age: optional(number()) });
  assert({ name: "Kari" }, User);
  const [error] = validate({ name: 1 }, User);
  return [error.message, error.path];
};
export default { fetch: async (request) => Response.json(await answer(request)) };
