import Joi from "joi";

const answer = async (request) => {
const schema = Joi.object({ name: Joi.string().alphanum().min(3).required(), year: Joi.number().integer().min(1900) });
  return [schema.validate({ name: "kari", year: 1950 }).value, schema.validate({ name: "k!", year: 1 }, { abortEarly: false }).error.details.map((each) => each.message)];
};
export default { fetch: async (request) => Response.json(await answer(request)) };
