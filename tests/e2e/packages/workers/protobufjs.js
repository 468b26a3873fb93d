import { Reader, Writer } from "protobufjs/minimal.js";

const answer = async (request) => {
  const bytes = Writer.create().uint32(8).int32(-5).uint32(18).string("\u00fc").uint32(25).double(0.1).finish();
  const reader = Reader.create(bytes), seen = [];
  while (reader.pos < reader.len) {
    const tag = reader.uint32();
    seen.push([tag >>> 3, tag === 8 ? reader.int32() : tag === 18 ? reader.string() : reader.double()]);
  }
  return [[...bytes], seen];
};
export default { fetch: async (request) => Response.json(await answer(request)) };
