import { parse, parseFragment, serialize } from "parse5";

const answer = async (request) => {
return [serialize(parse("<title>x</title><p>a<p>b<table><td>c")), parseFragment("<li>a<li>b").childNodes.length];
};
export default { fetch: async (request) => Response.json(await answer(request)) };
