import { match, P } from "ts-pattern";

const answer = async (request) => {
const say = (value) => match(value).with({ type: "a", n: P.number }, ({ n }) => `a${n}`).with(P.array(P.string), (list) => list.join()).otherwise(() => "other");
  return [say({ type: "a", n: 1 }), say(["x", "y"]), say(null)];
};
export default { fetch: async (request) => Response.json(await answer(request)) };
