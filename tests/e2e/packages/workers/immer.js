import { enableMapSet, produce, produceWithPatches, enablePatches } from "immer";

const answer = async (request) => {
enableMapSet();
  enablePatches();
  const base = { list: [{ n: 1 }], set: new Set([1]) };
  const [next, patches] = produceWithPatches(base, (draft) => { draft.list[0].n = 2; draft.list.push({ n: 3 }); });
  return [next.list, base.list, patches, produce(base, (draft) => { draft.set.add(2); }).set.size];
};
export default { fetch: async (request) => Response.json(await answer(request)) };
