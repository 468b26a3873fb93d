import superjson from "superjson";

const answer = async (request) => {
const text = superjson.stringify({ at: new Date(0), set: new Set([1]), map: new Map([["a", 1n]]), none: undefined, url: new URL("http://a.example/") });
  const back = superjson.parse(text);
  return [text, back.at instanceof Date, back.map.get("a") === 1n, superjson.parse(superjson.stringify(new Error("said"))).message];
};
export default { fetch: async (request) => Response.json(await answer(request)) };
