import Fuse from "fuse.js";

const answer = async (request) => {
return new Fuse([{ t: "Old Man's War" }, { t: "The Lock Artist" }], { keys: ["t"], includeScore: true }).search("old wr");
};
export default { fetch: async (request) => Response.json(await answer(request)) };
