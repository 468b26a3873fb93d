import MiniSearch from "minisearch";

const answer = async (request) => {
const index = new MiniSearch({ fields: ["t"], storeFields: ["t"] });
  index.addAll([{ id: 1, t: "moby dick" }, { id: 2, t: "zen and the art" }]);
  return [index.search("mob", { prefix: true }), index.search("zne", { fuzzy: 0.5 }).length, index.autoSuggest("ze")];
};
export default { fetch: async (request) => Response.json(await answer(request)) };
