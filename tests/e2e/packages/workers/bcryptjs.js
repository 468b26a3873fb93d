import bcrypt from "bcryptjs";

const answer = async (request) => {
return [bcrypt.hashSync("secret", "$2b$04$abcdefghijklmnopqrstuu"), await bcrypt.compare("secret", "$2b$04$abcdefghijklmnopqrstuuvNOI5kFQiUqcCdhJY0hXsBuX3NWJhGO")];
};
export default { fetch: async (request) => Response.json(await answer(request)) };
