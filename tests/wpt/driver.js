// A worker's own part: evaluates one test inside a request, in sloppy mode as a browser would, and answers with what
// testharness.js found. suite.py puts HARNESS, TESTS, FILES, DATA and PORT before it. `env.UNSAFE` is workerd's binding
// for code from strings; elsewhere there is `Function`.
const SUBTEST_MS = 2500, later = setTimeout, RealResponse = Response;
const KINDS = ["PASS", "FAIL", "TIMEOUT", "NOTRUN", "PRECONDITION"];

// What the tests expect around them: a place, and fetch() and friends that take URLs relative to it.
const prepare = (name, variant, patch, env) => {
  const g = globalThis, origin = `http://127.0.0.1:${PORT}`, base = `${origin}/${name.replace(/\.(any|window)\.js$/, ".$1.html")}`;
  const define = (key, value) => Object.defineProperty(g, key, { value, writable: true, configurable: true, enumerable: false });
  if (!("self" in g)) define("self", g);
  g.GLOBAL = { isWindow: () => false, isWorker: () => false, isShadowRealm: () => false };
  define("location", { href: base + variant, search: variant, origin, host: `127.0.0.1:${PORT}`, hostname: "127.0.0.1", port: PORT, protocol: "http:", pathname: "/" + name, hash: "", toString() { return this.href; } });
  const { fetch: realFetch, Request: RealRequest, Response: Answer, URL: RealURL } = g;
  const absolute = (input) => {
    if (typeof input !== "string") return input;
    for (const from of [undefined, base]) try { return new RealURL(input, from).href && (from ? new RealURL(input, from).href : input); } catch {}
    return input;
  };
  const folder = name.slice(0, name.lastIndexOf("/"));
  const local = (input) => { // the tests' own data is in this file, so that tests of URLs do not depend on fetch()
    if (typeof input !== "string") return null;
    const out = [];
    for (const part of (input[0] === "/" ? input.slice(1) : `${folder}/${input}`).split("/")) if (part === "..") out.pop(); else if (part !== ".") out.push(part);
    return DATA[out.join("/")] ?? null;
  };
  g.fetch = (input, init) => {
    const data = init === undefined ? local(input) : null;
    if (data !== null) return Promise.resolve({ ok: true, status: 200, json: async () => JSON.parse(data), text: async () => data });
    return realFetch(absolute(input), init);
  };
  if (patch) {
    g.Request = new Proxy(RealRequest, {
      construct: (target, args, to) => Reflect.construct(target, args.length ? [absolute(args[0]), ...args.slice(1)] : args, to === g.Request ? target : to),
    });
    g.Response = new Proxy(Answer, {
      construct: (target, args, to) => Reflect.construct(target, args, to === g.Response ? target : to),
      get: (target, key) => (key === "redirect" ? (url, ...more) => target.redirect(absolute(url), ...more) : Reflect.get(target, key)),
    });
  }
  if (env?.UNSAFE) g.eval = (code) => env.UNSAFE.eval(code);
};

// A subtest that never ends must not keep the others of its file from being counted.
const LIMITS = `
;(() => {
  setup({ allow_uncaught_exception: true });
  const late = ${SUBTEST_MS}, promise = globalThis.promise_test, asynchronous = globalThis.async_test;
  globalThis.promise_test = (func, ...rest) => promise(function (t) {
    const made = func.call(this, t);
    if (typeof made?.then !== "function") return made;
    return new Promise((yes, no) => { setTimeout(() => no(new Error("TIMEOUT of the runner")), late); made.then(yes, no); });
  }, ...rest);
  globalThis.async_test = (...all) => { const t = asynchronous(...all); if (t) setTimeout(() => { if (t.phase < 3) t.force_timeout(); }, late * 2); return t; };
})();
`;

// Functions and variables of classic scripts are properties of the global object.
const global = (names) => names.map((n) => `try { if (!("${n}" in globalThis)) globalThis.${n} = ${n}; } catch {}`).join("\n");

const run = async (name, variant, env, whole, patch) => {
  prepare(name, variant, patch, env);
  let finish, threw = null;
  const finished = new Promise((yes) => { finish = yes; });
  globalThis.__finish = (tests, status) => finish([tests, status]);
  globalThis.__seen = [];
  const { scripts, names, own } = TESTS[name];
  const source = `${HARNESS}\n;${LIMITS}\nadd_result_callback((t) => __seen.push(t)); add_completion_callback((tests, status) => __finish(tests, status));\n;${scripts.map((s) => FILES[s] ?? "").join("\n;\n")}\n${global(names)};(function () {\n${global(own)}\n${FILES[name]}\n}).call(globalThis);`;
  try {
    if (env?.UNSAFE) env.UNSAFE.newFunction(source, "wpt").call(globalThis);
    else new Function(source).call(globalThis);
  } catch (error) { threw = `${error?.name}: ${error?.message}`; }
  const all = await Promise.race([finished, new Promise((yes) => later(() => yes(null), threw ? 3000 : whole))]);
  const text = (value) => (value === null || value === undefined ? null : String(value).slice(0, 300).replace(/[\ud800-\udfff]/g, "?"));
  return { threw, message: all ? text(all[1].message) : null, tests: (all ? all[0] : __seen).map((t) => [text(t.name), KINDS[t.status], t.status === 0 ? null : text(t.message)]) };
};

export default {
  async fetch(request, env) {
    const q = {};
    for (const part of request.url.slice(request.url.indexOf("?") + 1).split("&")) { const at = part.indexOf("="); q[part.slice(0, at)] = decodeURIComponent(part.slice(at + 1)); }
    let out;
    try { out = await run(q.t, q.v ?? "", env, Number(q.ms), q.p === "1"); } catch (error) { out = { threw: `driver: ${error}\n${error?.stack}`, message: null, tests: [] }; }
    return new RealResponse(JSON.stringify(out), { headers: { "content-type": "application/json" } });
  },
};
