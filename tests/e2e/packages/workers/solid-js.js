import { createSignal, createMemo } from "solid-js";
import { escape, renderToString, ssr } from "solid-js/web";

const answer = async (request) => {
return renderToString(() => { const [n] = createSignal(2), twice = createMemo(() => 2 * n()); return ssr(["<p>", "</p>"], escape(`${twice()} <x>`)); });
};
export default { fetch: async (request) => Response.json(await answer(request)) };
