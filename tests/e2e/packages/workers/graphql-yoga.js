// requests: [["POST", "/graphql", {"Content-Type": "application/json"}, "{\"query\":\"{ hello }\"}"], ["GET", "/graphql?query=%7Bhello(name%3A%22Kari%22)%7D"], ["POST", "/graphql", {"Content-Type": "application/json"}, "{\"query\":\"{ nothing }\"}"], ["GET", "/nowhere"]]
import { createSchema, createYoga } from "graphql-yoga";

const yoga = createYoga({ logging: false, schema: createSchema({ typeDefs: "type Query { hello(name: String = \"you\"): String! fail: Int }", resolvers: { Query: { hello: (_, { name }) => `hello ${name}`, fail: () => { throw new Error("inner"); } } } }) });
export default { fetch: (request) => yoga.fetch(request) };
