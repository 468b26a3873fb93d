import * as pako from "pako";

const answer = async (request) => {
const packed = pako.deflate("abc".repeat(100));
  return [packed.length, pako.inflate(packed, { to: "string" }).length, pako.ungzip(pako.gzip(new Uint8Array([1, 2, 3]))).join()];
};
export default { fetch: async (request) => Response.json(await answer(request)) };
