import { marked } from "marked";

const answer = async (request) => {
return marked.parse("# T\n\n1. *a*\n2. [b](http://x.example \"t\")\n\n```js\nlet a = 1 < 2;\n```\n> q");
};
export default { fetch: async (request) => Response.json(await answer(request)) };
