// Node's modules as bundles import them: what each is asked for most.
import assert from "node:assert";
import { Buffer } from "node:buffer";
import { createHash, createHmac, hkdfSync, pbkdf2Sync, randomBytes, randomInt, randomUUID, scryptSync, timingSafeEqual } from "node:crypto";
import EventEmitter, { once } from "events";
import path, { join } from "node:path";
import process from "node:process";
import querystring from "node:querystring";
import { Readable, Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { StringDecoder } from "string_decoder";
import { setTimeout as pause } from "node:timers/promises";
import url from "node:url";
import util, { format, inherits, inspect, isDeepStrictEqual, promisify, types } from "node:util";

const thrown = (work) => { try { return work(); } catch (error) { return [error.name, error.code ?? null]; } };
const digests = (name) => { const hash = createHash(name).update("a").update(Buffer.from("bc")), copy = hash.copy(); return [hash.digest("hex"), copy.update("d").digest("base64")]; };

const ASKED = {
  "/buffer": () => [
    Buffer.from("h\u00e9\ud83d\ude00").toString("hex"), Buffer.from("aGk_-w", "base64url").toString("latin1"), Buffer.from([251, 255]).toString("base64url"),
    Buffer.concat([Buffer.from("a"), Buffer.alloc(2, "xy"), new Uint8Array([98])]).toString(), Buffer.byteLength("\u20ac"), Buffer.from("abc").equals(Buffer.from("616263", "hex")),
    Buffer.alloc(4).fill(1).readUInt32BE(0), Buffer.from("abcdef").subarray(1, 3).toString(), Buffer.from("zz").compare(Buffer.from("za")), JSON.stringify(Buffer.from("a")),
    Buffer.isBuffer(Buffer.from("a")), Buffer.isBuffer(new Uint8Array(1)), Buffer.from("abcabc").indexOf("c", 3), Buffer.isEncoding("base64url"), Buffer.from("\ufeffa").length,
    Buffer === globalThis.Buffer, Buffer.from("a") instanceof Uint8Array, Buffer.from("abc").toString("utf8", 1), Buffer.from("\ud800").toString("hex"),
  ],
  "/events": async () => {
    class Bell extends EventEmitter {}
    const bell = new Bell(), heard = [];
    bell.on("ring", (...values) => heard.push(values)).once("ring", () => heard.push("once")).prependListener("ring", () => heard.push("first"));
    const waited = once(bell, "ring");
    bell.emit("ring", 1, 2);
    bell.emit("ring");
    setTimeout(() => { bell.emit("tick", 1); bell.emit("tick", 2); }, 1);
    const ticks = [];
    for await (const [tick] of EventEmitter.on(bell, "tick")) { ticks.push(tick); if (tick === 2) break; }
    return [heard, await waited, bell.listenerCount("ring"), bell.listenerCount("tick"), ticks, thrown(() => bell.emit("error", new RangeError("unheard"))), EventEmitter.EventEmitter === EventEmitter];
  },
  "/util": async () => {
    function Child() {}
    inherits(Child, EventEmitter);
    return [
      format("%s %d %j %o", "a", 1, { b: 2 }, [3]), inspect({ a: new Map([[1, { b: [1, 2, { c: { d: 1 } }] }]]), e: "f", g: Symbol("h"), i() {}, j: null }), inspect("a'b"),
      new Child() instanceof EventEmitter, await promisify((a, done) => done(null, a + 1))(1), isDeepStrictEqual({ a: [1, new Set([1])] }, { a: [1, new Set([1])] }), isDeepStrictEqual([1], ["1"]),
      types.isDate(new Date()), types.isPromise(Promise.resolve()), types.isRegExp({}), types.isUint8Array(Buffer.alloc(1)), types.isAsyncFunction(async () => {}), util.TextEncoder === TextEncoder,
      await new Promise((done) => util.callbackify(async () => { throw new Error("no"); })((error) => done(error.message))), util.deprecate((a) => a, "old")(4), util.stripVTControlCharacters("\u001b[31mred\u001b[0m"),
    ];
  },
  "/path": () => [join("/a", "../b", "./c.js"), path.resolve("/a/b", "../c"), path.basename("/x/y.tar.gz", ".gz"), path.extname("a.b.c"), path.dirname("/a/b/c"), path.relative("/a/b", "/a/c/d"), path.parse("/a/b.c"), path.sep, path.posix === path, path.isAbsolute("a"), path.normalize("a//b/../c/")],
  "/url": () => [
    url.parse("http://u:p@h.example:8080/p/a?x=1&x=2#f", true).query, url.parse("/a?b=c").pathname, url.format({ protocol: "https", host: "h.example", pathname: "/p", query: { a: 1 } }), url.resolve("http://a.example/b/c", "../d"),
    url.fileURLToPath("file:///a%20b"), url.pathToFileURL("/a b").href, url.URL === URL, querystring.parse("a=1&b=2&a=3&c=%20"), querystring.stringify({ a: [1, 2], b: "x y" }), querystring.escape("a b"),
  ],
  "/decoder": () => { const decoder = new StringDecoder("utf8"); return [decoder.write(Buffer.from([0xe2, 0x82])), decoder.write(Buffer.from([0xac])), decoder.end(Buffer.from([0xe2]))]; },
  "/assert": () => [
    thrown(() => assert(0)), thrown(() => assert.strictEqual(1, 1)) ?? null, thrown(() => assert.strictEqual(1, 2)), thrown(() => assert.deepStrictEqual({ a: 1 }, { a: 1 })) ?? null,
    thrown(() => assert.deepStrictEqual({ a: 1 }, { a: 2 })), thrown(() => assert.throws(() => { throw new TypeError("x"); }, TypeError)) ?? null, thrown(() => assert.ok(false, "said")), thrown(() => assert.equal(1, "1")) ?? null,
  ],
  "/hashes": () => [...["md5", "sha1", "sha224", "sha256", "SHA384", "sha512", "ripemd160", "sha3-256"].map(digests), createHmac("sha256", "key").update("abc").digest("base64url"), createHmac("md5", Buffer.alloc(80, 1)).update("").digest("hex"), thrown(() => createHash("none")), thrown(() => { const hash = createHash("sha1"); hash.digest(); hash.update("a"); })],
  "/keys": () => [
    pbkdf2Sync("password", "salt", 10, 20, "sha1").toString("hex"), pbkdf2Sync("password", "salt", 2, 8, "sha3-256").length, Buffer.from(hkdfSync("sha256", "key", "salt", "info", 16)).toString("hex"), scryptSync("password", "salt", 16, { N: 16 }).toString("hex"),
    timingSafeEqual(Buffer.from("ab"), Buffer.from("ab")), timingSafeEqual(Buffer.from("ab"), Buffer.from("ac")), thrown(() => timingSafeEqual(Buffer.from("ab"), Buffer.from("a"))),
  ],
  "/chance": async () => [randomBytes(16).length, randomUUID().length, randomBytes(8).equals(randomBytes(8)), Array.from({ length: 200 }, () => randomInt(3, 5)).every((n) => n === 3 || n === 4), await new Promise((done) => randomBytes(4, (error, bytes) => done([error, bytes.length])))],
  "/stream": async () => {
    const upper = new Transform({ transform(chunk, encoding, done) { done(null, chunk.toString().toUpperCase()); } }), read = [];
    await pipeline(Readable.from(["a", "b", "c"]), upper, async function (source) { for await (const chunk of source) read.push(chunk.toString()); });
    const failed = await pipeline(Readable.from([1]), new Transform({ objectMode: true, transform(chunk, encoding, done) { done(new RangeError("bad")); } }), async function* () {}).catch((error) => error.name);
    return [read, failed, await Readable.from([3, 1, 2]).map((n) => n * 2).toArray()];
  },
  "/process": async () => [typeof process.env, process.platform, typeof process.version, process === globalThis.process, process.cwd().startsWith("/"), await new Promise((done) => process.nextTick(done, "ticked")), typeof process.hrtime.bigint(), global === globalThis],
  "/timers": async () => [await pause(1, "later"), await pause(50, 0, { signal: AbortSignal.abort() }).catch((error) => [error.name, error.code])],
  "/dynamic": async () => [typeof (await import("node:os")).platform, (await import("node:diagnostics_channel")).channel("a").hasSubscribers, await import("./other.js").catch((error) => error.name !== "")],
};

export default {
  async fetch(request) {
    const ask = ASKED[new URL(request.url).pathname];
    return ask ? Response.json(await ask()) : Response.json(Object.keys(ASKED));
  },
};
