import protobuf from "protobufjs/light.js";

const answer = async (request) => {
const Root = new protobuf.Root().define("a");
  const Type = new protobuf.Type("M").add(new protobuf.Field("n", 1, "int32")).add(new protobuf.Field("s", 2, "string", "repeated"));
  Root.add(Type);
  const bytes = Type.encode(Type.create({ n: -5, s: ["x", "\u00fc"] })).finish();
  return [[...bytes], Type.toObject(Type.decode(bytes))];
};
export default { fetch: async (request) => Response.json(await answer(request)) };
