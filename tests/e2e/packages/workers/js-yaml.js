import * as yaml from "js-yaml";

const answer = async (request) => {
return [yaml.load("a: [1, {b: c}]\nd: 2.5"), yaml.dump({ a: ["x", { y: true }], z: "1" })];
};
export default { fetch: async (request) => Response.json(await answer(request)) };
