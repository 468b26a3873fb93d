import { EventEmitter } from "eventemitter3";
import mitt from "mitt";

const answer = async (request) => {
const heard = [], emitter = new EventEmitter(), bus = mitt();
  emitter.once("a", (n) => heard.push(n));
  emitter.emit("a", 1);
  emitter.emit("a", 2);
  bus.on("*", (type, value) => heard.push([type, value]));
  bus.emit("b", 3);
  return heard;
};
export default { fetch: async (request) => Response.json(await answer(request)) };
