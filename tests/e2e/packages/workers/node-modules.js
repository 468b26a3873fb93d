import assert from "node:assert";
import { AsyncLocalStorage } from "node:async_hooks";
import { Buffer } from "node:buffer";
import { createHash, createHmac } from "node:crypto";
import { EventEmitter, once } from "node:events";
import { join } from "node:path";
import { Readable } from "node:stream";
import { format, inspect, promisify } from "node:util";

const answer = async (request) => {
const emitter = new EventEmitter(), storage = new AsyncLocalStorage();
  const heard = once(emitter, "a");
  emitter.emit("a", 1);
  assert.deepStrictEqual({ a: [1] }, { a: [1] });
  return [
    Buffer.from("h\u00e9").toString("base64"), createHash("md5").update("abc").digest("hex"), createHmac("sha256", "k").update("m").digest("base64"), await heard, join("/a", "..", "b"), await Readable.from(["x", "y"]).toArray(),
    format("%s:%d", "a", 1), inspect({ a: [1, { b: new Set([1]) }] }), await promisify((done) => done(null, 2))(), await storage.run(7, async () => { await null; return storage.getStore(); }), typeof process.env, typeof Buffer,
  ];
};
export default { fetch: async (request) => Response.json(await answer(request)) };
