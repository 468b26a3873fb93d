import mime from "mime";

const answer = async (request) => {
return [mime.getType("a.html"), mime.getType("a.webp"), mime.getExtension("application/json")];
};
export default { fetch: async (request) => Response.json(await answer(request)) };
