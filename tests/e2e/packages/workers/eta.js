import { Eta } from "eta/core";

const answer = async (request) => {
return new Eta().renderString("<%= it.name %> <%~ it.raw %>", { name: "<Kari>", raw: "<b>" });
};
export default { fetch: async (request) => Response.json(await answer(request)) };
