import { buildSchema, graphql, parse, print } from "graphql";

const answer = async (request) => {
const schema = buildSchema("type Query { sum(a: Int!, b: Int!): Int, list: [String!] }");
  return [await graphql({ schema, source: "{ sum(a: 1, b: 2) list }", rootValue: { sum: ({ a, b }) => a + b, list: ["x"] } }), await graphql({ schema, source: "{ sum(a: 1) }" }), print(parse("query Q($a:Int){sum(a:$a,b:1)}"))];
};
export default { fetch: async (request) => Response.json(await answer(request)) };
