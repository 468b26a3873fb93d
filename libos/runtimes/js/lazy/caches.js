// The Cache API as Workers have it, and ctx.cache: what the edge keeps for this service. Calls are exchanges with the edge
// itself, at nunatak:cache, of which each answer says first what came of it; edge/cache/calls.py has the other side.
import { interfaces } from "./common/classes.js";

const { nk, ask, need, options, text, phrase, listOf, fieldOf, takeRaw, sourceFrom, bytesSource, unusable } = share;
const CACHE = "nunatak:cache";
const URL_MAX = 8190;

const call = async (method, url, list, raw) => { // [exchange, status, what came of it, fields]
  const exchange = await ask(method, url, list, raw, null);
  const [status, fields] = await exchange.answer();
  return [exchange, status, fields[1], fields.slice(2)];
};
const requestOf = (given) => (given instanceof Request ? given : new Request(given));
const placeOf = (name, request) => {
  share.onlyServing("caches");
  const url = request.url.split("#")[0];
  if (!/^https?:/.test(url) || url.length > URL_MAX) throw new TypeError("Invalid URL. Cache API keys must be fully-qualified, valid URLs.");
  return `${CACHE}/${encodeURIComponent(name)}/${url}`;
};
const ignores = (given, what) => !!options(given, what).ignoreMethod;

// What a request says in the fields that Vary lists, with a mark before their names.
const MARK = "nunatak-asked-";
const asked = (request, vary) => {
  const list = [];
  for (const name of vary.split(",").map((one) => one.trim())) {
    const value = name === "" ? null : request.headers.get(name);
    if (value !== null) list.push(MARK + name, value);
  }
  return list;
};

// What goes to upstreams in Accept-Encoding is not all that was asked for; an answer may depend on that.
const marked = (list) => list.map((text, n) => (n % 2 === 0 && text === "accept-encoding" ? MARK + text : text));

// A body as it is kept: with the coding that its fields say, as it came; a source, and fields without a coding that it has not.
const packed = async (raw, list) => {
  const at = list.indexOf("content-encoding"), coding = at < 0 ? null : list[at + 1].toLowerCase();
  const plainly = () => { list.splice(at, 2); };
  if (raw === null || typeof raw === "string" || raw instanceof Uint8Array) {
    const bytes = typeof raw === "string" ? nk.encode(raw) : raw;
    if (coding !== null && bytes !== null && (typeof raw === "string" || share.looksPlain(bytes, coding))) plainly();
    return bytes === null ? null : bytesSource(bytes);
  }
  if (coding === null) return sourceFrom(raw);
  if (raw.wire && raw.wire.coding === coding) return raw.wire.source;
  const source = sourceFrom(raw);
  let first = await source.pull();
  if (share.looksPlain(first ?? [], coding)) plainly();
  return share.source(() => {
    const part = first === undefined ? source.pull() : first;
    first = undefined;
    return part;
  }, (reason) => source.cancel(reason));
};

let made = false;
class Cache {
  #name;
  constructor(name) {
    if (!made) throw new TypeError("Illegal constructor");
    this.#name = name;
  }
  async match(request, given = undefined) {
    need(arguments.length, 1, "match()");
    request = requestOf(request);
    if (request.method !== "GET" && !ignores(given, "match()")) return undefined;
    const place = placeOf(this.#name, request);
    let exchange, status, outcome, list;
    try {
      [exchange, status, outcome, list] = await call("GET", place, marked(listOf(request.headers)), null);
    } catch { return undefined; } // there is never a promise that something is kept
    if (outcome !== "hit") { exchange.end(null); return undefined; }
    list.push("cf-cache-status", "HIT");
    const answer = share.fetchedResponse(status, phrase(status), list, request.url, false);
    if (status === 204 || status === 205 || status === 304) exchange.end(null);
    else share.setRaw(answer, exchange.body(fieldOf(answer.headers, "content-encoding")));
    return answer;
  }
  async put(request, response) {
    need(arguments.length, 2, "put()");
    request = requestOf(request);
    if (!(response instanceof Response)) throw new TypeError("put(): a Response expected");
    if (response.type === "error") throw new TypeError("Cache is unable to store an error response");
    if (request.method !== "GET") throw new TypeError("Cannot cache response to non-GET request.");
    if (response.status === 206) throw new TypeError("Cannot cache response to a range request (206 Partial Content).");
    const vary = response.headers.get("vary") ?? "";
    if (vary.includes("*")) throw new TypeError("Cannot cache response with 'Vary: *' header.");
    if (response.webSocket !== null) throw new TypeError("Cannot cache WebSocket upgrade response.");
    if (response.status === 304) return undefined;
    if (unusable(response)) throw new TypeError("Body has already been used. It can only be used once. Use tee() first if you need to read it twice.");
    const place = placeOf(this.#name, request), raw = takeRaw(response), list = listOf(response.headers).slice();
    const varied = asked(request, vary), body = await packed(raw, list);
    let failure = null; // of the body itself, of which the caller is told
    const watched = body && share.source(async () => {
      try { return await body.pull(); } catch (error) { failure = { error }; throw error; }
    }, (reason) => body.cancel(reason));
    try {
      const [exchange] = await call("PUT", place, [...list, ...varied, "nunatak-status", String(response.status)], watched);
      exchange.end(null);
    } catch { if (failure !== null) throw failure.error; }
    return undefined;
  }
  async delete(request, given = undefined) {
    need(arguments.length, 1, "delete()");
    request = requestOf(request);
    if (request.method !== "GET" && !ignores(given, "delete()")) return false;
    const [exchange, , outcome] = await call("DELETE", placeOf(this.#name, request), [], null);
    exchange.end(null);
    return outcome === "deleted";
  }
}
const cacheOf = (name) => {
  made = true;
  try { return new Cache(name); } finally { made = false; }
};

let storage = false;
class CacheStorage {
  #caches = new Map();
  #default = cacheOf("");
  constructor() {
    if (storage) throw new TypeError("Illegal constructor");
    storage = true;
  }
  get default() { return this.#default; }
  async open(name) {
    need(arguments.length, 1, "open()");
    name = `n${text(name)}`; // none of these is the default one
    if (encodeURIComponent(name).length > 512) throw new TypeError("open(): a shorter name expected");
    let cache = this.#caches.get(name);
    if (cache === undefined) this.#caches.set(name, (cache = cacheOf(name)));
    return cache;
  }
}

const texts = (given, what) => {
  if (given === undefined) return undefined;
  if (typeof given !== "object" || given === null || typeof given[Symbol.iterator] !== "function") throw new TypeError(`purge(): a list of ${what} expected`);
  return [...given].map(text);
};
class CacheContext {
  async purge(given) {
    need(arguments.length, 1, "purge()");
    share.onlyServing("purge()");
    const { tags, pathPrefixes, purgeEverything } = options(given, "purge()");
    const asked = { tags: texts(tags, "tags"), pathPrefixes: texts(pathPrefixes, "pathPrefixes"), purgeEverything: purgeEverything === undefined ? undefined : !!purgeEverything };
    let code = 500, message;
    try {
      const [exchange, status, outcome] = await call("POST", CACHE, [], bytesSource(nk.encode(JSON.stringify(asked))));
      if (outcome === "purged") { exchange.end(null); return { success: true, errors: [] }; }
      const why = share.fetchedResponse(status, "", [], CACHE, false);
      share.setRaw(why, exchange.body(null));
      code = status;
      message = await why.text();
    } catch (error) { message = error.message; }
    return { success: false, errors: [{ code, message }] };
  }
}
const context = new CacheContext();

export default () => {
  const classes = interfaces({ Cache, CacheStorage });
  return { ...classes, caches: new CacheStorage(), context, "cloudflare:workers": { cache: context } };
};
