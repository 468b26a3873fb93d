import { parseDocument, Parser } from "htmlparser2";

const answer = async (request) => {
const seen = [];
  const parser = new Parser({ onopentag: (name, attributes) => seen.push([name, attributes]), ontext: (text) => seen.push(text), onclosetag: (name) => seen.push(`/${name}`) });
  parser.write("<p a=1>x &amp; y<br");
  parser.end("></p>");
  return [seen, parseDocument("<a><b/></a>").children[0].name];
};
export default { fetch: async (request) => Response.json(await answer(request)) };
