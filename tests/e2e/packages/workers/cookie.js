import * as cookie from "cookie";

const answer = async (request) => {
const parse = cookie.parse ?? cookie.parseCookie;
  return [parse("a=1; b=%20x"), Object.keys(cookie).includes("parseCookie") || Object.keys(cookie).includes("parse")];
};
export default { fetch: async (request) => Response.json(await answer(request)) };
