import { render } from "svelte/server";
import * as $ from "svelte/internal/server";

const answer = async (request) => {
const Page = ($$renderer, { name }) => { $$renderer.push(`<h1>hello ${$.escape(name)}</h1>`); };
  const { body, head } = render(Page, { props: { name: "<Kari>" } });
  return [body, head];
};
export default { fetch: async (request) => Response.json(await answer(request)) };
