import { h } from "preact";
import { useState } from "preact/hooks";
import { render } from "preact-render-to-string";

const answer = async (request) => {
const Counter = ({ from }) => { const [n] = useState(from); return h("button", { class: "c", onClick() {} }, n, " <", h("b", null), ">"); };
  return render(h("div", null, h(Counter, { from: 3 }), [1, 2].map((n) => h("li", { key: n }, n))));
};
export default { fetch: async (request) => Response.json(await answer(request)) };
