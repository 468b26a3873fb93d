import { createStorage } from "unstorage";
import memory from "unstorage/drivers/memory";

const answer = async (request) => {
const storage = createStorage({ driver: memory() });
  await storage.setItem("a:b", { n: 1 });
  return [await storage.getItem("a:b"), await storage.getKeys(), await storage.hasItem("c")];
};
export default { fetch: async (request) => Response.json(await answer(request)) };
