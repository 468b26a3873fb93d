import pLimit from "p-limit";
import PQueue from "p-queue";

const answer = async (request) => {
const limit = pLimit(2), seen = [];
  await Promise.all([1, 2, 3].map((n) => limit(async () => { await null; seen.push(n); })));
  const queue = new PQueue({ concurrency: 1 });
  return [seen, await queue.addAll([async () => 1, async () => 2])];
};
export default { fetch: async (request) => Response.json(await answer(request)) };
