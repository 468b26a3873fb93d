import { rehype } from "rehype";

const answer = async (request) => {
return String(await rehype().data("settings", { fragment: true }).process("<p>a<p>b<br>&lt;"));
};
export default { fetch: async (request) => Response.json(await answer(request)) };
