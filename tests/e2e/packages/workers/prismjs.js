import Prism from "prismjs";

const answer = async (request) => {
return Prism.highlight("const a = /b/.test('c'); // d", Prism.languages.javascript, "javascript");
};
export default { fetch: async (request) => Response.json(await answer(request)) };
