import { createStaticHandler } from "react-router";

const answer = async (request) => {
const { query } = createStaticHandler([{ path: "/", children: [{ path: "users/:id", loader: ({ params }) => ({ id: params.id }) }] }]);
  const context = await query(new Request("http://a.example/users/7"));
  return [Object.values(context.loaderData), context.statusCode, (await query(new Request("http://a.example/no"))).statusCode];
};
export default { fetch: async (request) => Response.json(await answer(request)) };
