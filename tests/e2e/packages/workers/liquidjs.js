import { Liquid } from "liquidjs";

const answer = async (request) => {
return new Liquid().parseAndRender("{% for n in list %}{{ n | upcase | prepend: '-' }}{% endfor %}{{ at | date: '%Y-%m-%d' }}", { list: ["a", "b"], at: "2026-01-02T00:00:00Z" });
};
export default { fetch: async (request) => Response.json(await answer(request)) };
