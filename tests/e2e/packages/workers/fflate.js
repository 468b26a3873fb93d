import { gunzipSync, gzipSync, strFromU8, strToU8, unzipSync, zipSync } from "fflate";

const answer = async (request) => {
const zip = unzipSync(zipSync({ "a.txt": strToU8("abc"), b: { "c.txt": strToU8("d") } }));
  return [strFromU8(gunzipSync(gzipSync(strToU8("x".repeat(1000)), { mtime: 0 }))).length, Object.keys(zip), strFromU8(zip["a.txt"])];
};
export default { fetch: async (request) => Response.json(await answer(request)) };
