import MarkdownIt from "markdown-it";

const answer = async (request) => {
return new MarkdownIt({ linkify: true, typographer: true }).render("# T\n\n- *a* **b** `c`\n- http://x.example\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n\"q\" (c)");
};
export default { fetch: async (request) => Response.json(await answer(request)) };
