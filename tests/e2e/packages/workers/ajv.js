import Ajv from "ajv";

const answer = async (request) => {
const validate = new Ajv({ allErrors: true }).compile({ type: "object", properties: { a: { type: "integer", minimum: 2 } }, required: ["a"] });
  return [validate({ a: 3 }), validate({ a: 1 }), validate.errors];
};
export default { fetch: async (request) => Response.json(await answer(request)) };
