import * as yup from "yup";

const answer = async (request) => {
const schema = yup.object({ name: yup.string().required().min(2), age: yup.number().integer().positive() });
  return [await schema.validate({ name: "Kari", age: "7" }), await schema.validate({ age: -1 }, { abortEarly: false }).catch((error) => error.errors)];
};
export default { fetch: async (request) => Response.json(await answer(request)) };
