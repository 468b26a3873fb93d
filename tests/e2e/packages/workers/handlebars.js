import Handlebars from "handlebars";

const answer = async (request) => {
return Handlebars.compile("{{#each list}}<{{this}}>{{/each}}")({ list: ["a", "<"] });
};
export default { fetch: async (request) => Response.json(await answer(request)) };
