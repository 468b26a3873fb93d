import nunjucks from "nunjucks";

const answer = async (request) => {
return new nunjucks.Environment(null, { autoescape: true }).renderString("{% for n in list %}{{ n | upper }}{{ loop.index }} {% endfor %}{{ raw }}", { list: ["a", "b"], raw: "<b>" });
};
export default { fetch: async (request) => Response.json(await answer(request)) };
