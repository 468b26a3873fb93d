// What the short ways of the runtime must not change: URLs of requests, header fields, and what happens in which order.
let matches = 0; // of regular expressions, which the URL parser uses and the short way does not
const exec = RegExp.prototype.exec;
RegExp.prototype.exec = function (text) { matches++; return exec.call(this, text); };

const PARTS = ["href", "origin", "protocol", "username", "password", "host", "hostname", "port", "pathname", "search", "hash"];
const SETTERS = { protocol: "https", username: "me", password: "pw", host: "x.test:81", hostname: "y.test", port: "82", pathname: "/p q", search: "?s=1", hash: "h", href: "http://z.test/?q" };
const parts = (url) => [...PARTS.map((part) => url[part]), ...url.searchParams.entries(), String(url), JSON.stringify(url)].join("\n");
const changed = (make, part, value) => { const url = make(); url.searchParams; url[part] = value; return parts(url); };
const both = (text, act) => { const long = act(() => new URL(` ${text}`)), short = act(() => new URL(text)); return [short, long]; };
const outcome = (act) => { try { return act(); } catch (error) { return error.name; } };

const urls = (request) => {
  const before = matches;
  const url = outcome(() => new URL(request.url));
  const plain = matches === before;
  const pairs = [both(request.url, (make) => outcome(() => parts(make())))];
  for (const part in SETTERS) pairs.push(both(request.url, (make) => outcome(() => changed(make, part, SETTERS[part]))));
  pairs.push(both(request.url, (make) => outcome(() => { const url = make(); url.searchParams.append("a", "b c"); return parts(url); })));
  pairs.push(both(request.url, (make) => outcome(() => parts(new URL("../r?n#f", make())))));
  return Response.json({ plain, same: pairs.every(([short, long]) => short === long), pairs });
};

class Lazy extends Promise {
  then(...callbacks) { console.log("then of a subclass"); return super.then(...callbacks); }
}
let kept = null;
const paths = {
  __proto__: null,  // a path may have any name
  "/then": async () => { const response = new Response("now"); Promise.resolve().then(() => response.headers.set("x-late", "yes")); return response; },
  "/microtask": async () => { const response = new Response("now"); queueMicrotask(() => queueMicrotask(() => response.headers.set("x-late", "two late"))); return response; },
  "/subclass": () => Lazy.resolve(new Response("now")),
  "/thenable": () => ({ then: (yes) => yes(new Response("now")) }),
  "/nested": async () => (async () => new Response("now"))(),
  "/waits": async () => { await null; return new Response("now"); },
  "/wait-until": async (request, ctx) => { ctx.waitUntil((async () => { console.log("one"); await null; console.log("two"); })()); console.log("three"); return new Response("now"); },
  "/wrong": async () => "no response",
  "/keep": (request) => { kept = request; return new Response("kept"); },
  "/kept": () => Response.json([...kept.headers]),
  "/fields": async (request) => {
    const { names, values } = await request.json();
    return Response.json([
      names.map((name) => outcome(() => [...new Headers([[name, "v"]]).keys()][0])),
      values.map((value) => outcome(() => new Headers([["n", value]]).get("N"))),
    ]);
  },
  "/json-type": () => Response.json(null, { headers: { "Content-Type": "text/x" } }),
  "/json-empty": () => outcome(() => Response.json(1, { status: 204 })) === "TypeError" ? new Response("refused") : new Response("taken"),
};
export default { fetch: (request, env, ctx) => (paths[request.url.slice("http://guest.test".length)] ?? urls)(request, ctx) };
