import { createSSRApp, h, ref } from "vue";
import { renderToString, renderToWebStream } from "vue/server-renderer";

const answer = async (request) => {
const app = () => createSSRApp({ setup() { const n = ref(2); return () => h("p", { class: { a: true }, style: { color: "red" } }, [h("b", n.value * 2), "<text>"]); } });
  return [await renderToString(app()), await new Response(renderToWebStream(app())).text()];
};
export default { fetch: async (request) => Response.json(await answer(request)) };
