import { Type } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";

const answer = async (request) => {
const User = Type.Object({ name: Type.String({ minLength: 2 }), age: Type.Optional(Type.Integer()) });
  return [Value.Check(User, { name: "Kari" }), [...Value.Errors(User, { name: "K", age: 1.5 })].map((error) => [error.path, error.message]), Value.Create(User), User];
};
export default { fetch: async (request) => Response.json(await answer(request)) };
