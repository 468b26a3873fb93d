import { remark } from "remark";
import html from "remark-html";

const answer = async (request) => {
return String(await remark().use(html).process("# T\n\n- a\n- *b* <script>x</script>"));
};
export default { fetch: async (request) => Response.json(await answer(request)) };
