import { XMLBuilder, XMLParser } from "fast-xml-parser";

const answer = async (request) => {
return [new XMLParser({ ignoreAttributes: false }).parse("<a x='1'><b>2</b><b>&lt;</b></a>"), new XMLBuilder({ ignoreAttributes: false }).build({ a: { "@_x": "1", b: [2, 3] } })];
};
export default { fetch: async (request) => Response.json(await answer(request)) };
