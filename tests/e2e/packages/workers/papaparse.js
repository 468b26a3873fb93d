import Papa from "papaparse";

const answer = async (request) => {
return [Papa.parse("a,b\n1,\"x,y\"\n2,z", { header: true, dynamicTyping: true }).data, Papa.unparse([{ a: 1, b: "x\"y" }])];
};
export default { fetch: async (request) => Response.json(await answer(request)) };
