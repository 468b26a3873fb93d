import { createElement as h, Suspense, use } from "react";
import { renderToReadableStream } from "react-dom/server.edge";

const answer = async (request) => {
const slow = new Promise((resolve) => setTimeout(resolve, 5, "slow"));
  const Slow = () => h("b", null, use(slow));
  const stream = await renderToReadableStream(h("main", { className: "a" }, h("p", { style: { color: "red" } }, "<text>"), h(Suspense, { fallback: h("i", null, "wait") }, h(Slow))));
  return new Response(stream).text();
};
export default { fetch: async (request) => Response.json(await answer(request)) };
