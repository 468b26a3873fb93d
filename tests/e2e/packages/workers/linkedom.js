import { parseHTML } from "linkedom";

const answer = async (request) => {
const { document } = parseHTML("<html><body><p class=a>x</p></body></html>");
  const made = document.createElement("b");
  made.textContent = "<y>";
  document.querySelector("p.a").append(made);
  return document.body.innerHTML;
};
export default { fetch: async (request) => Response.json(await answer(request)) };
