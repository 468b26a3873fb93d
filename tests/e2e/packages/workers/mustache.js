import Mustache from "mustache";

const answer = async (request) => {
return Mustache.render("{{#list}}<{{.}}>{{/list}}{{^none}}none{{/none}}{{{raw}}}", { list: ["a", "&"], raw: "<b>" });
};
export default { fetch: async (request) => Response.json(await answer(request)) };
