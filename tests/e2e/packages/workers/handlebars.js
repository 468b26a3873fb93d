import Handlebars from "handlebars";

const answer = async (request) => {
return [Handlebars.precompile("{{#each list}}<{{this}}>{{/each}}"), Handlebars.escapeExpression("<&>")];
};
export default { fetch: async (request) => Response.json(await answer(request)) };
