import hljs from "highlight.js/lib/core";
import javascript from "highlight.js/lib/languages/javascript";

const answer = async (request) => {
hljs.registerLanguage("javascript", javascript);
  return hljs.highlight("const a = `b${1}`; // c", { language: "javascript" }).value;
};
export default { fetch: async (request) => Response.json(await answer(request)) };
