// One act for each rule of the web platform that test_javascript_web.py looks at. What it gives is written as JSON.
const acts = {};
const about = (name, act) => { acts[name] = act; };
const named = (act) => { try { return act(); } catch (error) { return error.name; } };
const settled = async (promise) => { try { return await promise; } catch (error) { return error.name; } };
const bytes = (...values) => new Uint8Array(values);
const encoder = new TextEncoder();
const words = (...all) => new ReadableStream({ start(c) { for (const word of all) c.enqueue(word); c.close(); } });
const all = async (stream) => { const out = []; for await (const chunk of stream) out.push(typeof chunk === "string" ? chunk : [...chunk]); return out; };
const units = (text) => Array.from({ length: text.length }, (_, n) => text.charCodeAt(n).toString(16)).join(" ");
const later = (ms) => new Promise((go) => setTimeout(go, ms));
const form = async (type, ...lines) => {
  const read = await new Request("http://a.test/", { method: "POST", headers: { "content-type": type }, body: lines.join("\r\n") }).formData();
  return Promise.all([...read].map(async ([name, value]) => (typeof value === "string" ? [name, value] : [name, value.name, value.type, await value.text()])));
};

// URLs
about("url: setters strip tab and newline", () => { const u = new URL("http://a.test/x"); u.hash = "a\tb\n"; u.protocol = "ht\ntps"; u.port = "8\t1"; return u.href; });
about("url: a scheme's other letters are no scheme", () => { const u = new URL("http://a.test/"); u.protocol = "b,c"; return u.href; });
about("url: one slash is relative to a base of the same scheme", () => new URL("http:/x/y", "http://a.test/b/c").href);
about("url: file and drive letters", () => [new URL("/d:/x", "file:///c:/y").href, new URL("file:///c|/../z").href]);
about("url: opaque paths", () => { const u = new URL("data:text/plain,a b  #c"); u.host = "x"; return [u.href, u.origin]; });
about("url: names that are not ASCII", () => [new URL("http://B\u00fccher.example/").host, new URL("http://\u2F21.example/").hostname, named(() => new URL("http://xn--a/")), named(() => new URL("http://a\u00ADb.test/").host)]);
about("url: plain, relative to a plain one", () => [new URL("/p?q", "https://a.test:8443/x").href, new URL("//b.test/p", "https://a.test/").href, named(() => new URL("/p", "nothing"))]);
about("url: credentials", () => { const u = new URL("https://me:p%40ss@a.test/"); return [u.username, u.password, u.origin, u.host]; });
about("url: parameters are live while they are iterated", () => { const p = new URLSearchParams("a=1&b=2&c=3"), seen = []; for (const [name] of p) { seen.push(name); p.delete("b"); } return seen; });
about("url: halves of pairs", () => new URLSearchParams([["\ud800", "x\udc00"]]).toString());
about("url: parse and canParse", () => [URL.parse("x") === null, URL.parse("x", "http://a.test/")?.href, URL.canParse("http://[::1"), named(() => new URL())]);
about("urlpattern", () => [new URLPattern({ pathname: "/books/:id(\\d+)" }).exec("https://a.test/books/12").pathname.groups.id, new URLPattern("https://*.test/a/*").test("https://b.test/a/c"), new URLPattern({ pathname: "/x" }).test("https://a.test/y")]);

// Text
about("text: other encodings", () => [["latin1", 0xe4, 0x80], ["windows-1251", 0xdf], ["utf-16le", 0x3d, 0xd8, 0x00, 0xde], ["UTF-16BE", 0x00, 0x41], ["shift_jis", 0x82, 0xa0], ["gbk", 0xc4, 0xe3], ["euc-kr", 0xb0, 0xa1], ["big5", 0xa4, 0x40], ["koi8-r", 0xc1], ["x-user-defined", 0x80], ["iso-2022-jp", 0x1b, 0x24, 0x42, 0x24, 0x22]].map(([label, ...given]) => units(new TextDecoder(label).decode(bytes(...given)))));
about("text: labels", () => [new TextDecoder("Latin1").encoding, new TextDecoder(" ascii\n").encoding, new TextDecoder("unicode").encoding, named(() => new TextDecoder("utf-7")), named(() => new TextDecoder("utf-8\u000b")), named(() => new TextDecoder("hz-gb-2312"))]);
about("text: fatal in another encoding", () => named(() => new TextDecoder("shift_jis", { fatal: true }).decode(bytes(0x82))));
about("text: a stream of another encoding", () => { const d = new TextDecoder("utf-16le"); return [units(d.decode(bytes(0x41), { stream: true })), units(d.decode(bytes(0x00, 0x42), { stream: true })), units(d.decode())]; });
about("text: maximal subparts", () => [units(new TextDecoder().decode(bytes(0xf0, 0x9f, 0x98, 0x41))), units(new TextDecoder().decode(bytes(0xe2, 0x82))), units(new TextDecoder().decode(bytes(0xed, 0xa0, 0x80))), units(new TextDecoder().decode(bytes(0xf5, 0xc0, 0xfe)))]);
about("text: fatal takes U+FFFD itself", () => [units(new TextDecoder("utf-8", { fatal: true }).decode(bytes(0xef, 0xbf, 0xbd))), named(() => new TextDecoder("utf-8", { fatal: true }).decode(bytes(0xed, 0xa0, 0x80)))]);
about("text: halves of pairs are replaced wherever text becomes bytes", async () => [[...encoder.encode("a\ud800b")], [...new Uint8Array(await new Response("\udfff").arrayBuffer())], await new Response("x\ud83d").text() === "x\ufffd"]);
about("text: encodeInto whole characters", () => { const to = new Uint8Array(4); return [encoder.encodeInto("a\u{1f600}", to), encoder.encodeInto("a\u20acb", to), [...to]]; });
about("text: pairs that are split between chunks", async () => [await all(words("\ud83d", "\ude00", "\ud83d").pipeThrough(new TextEncoderStream())), await all(words(bytes(0xf0, 0x9f), bytes(), bytes(0x98, 0x80)).pipeThrough(new TextDecoderStream()))]);
about("text: streams say what they are", () => { const d = new TextDecoderStream("latin1", { ignoreBOM: true }); return [d.encoding, d.fatal, d.ignoreBOM, new TextEncoderStream().encoding]; });

// Streams
about("streams: a buffer of one's own", async () => {
  const reader = new Response("abcdef").body.getReader({ mode: "byob" }), first = await reader.read(new Uint8Array(4)), seen = [...first.value], second = await reader.read(new Uint8Array(first.value.buffer));
  return [first.value.byteLength, seen, [...second.value], (await reader.read(new Uint8Array(1))).done];
});
about("streams: at least so many", async () => { const r = new ReadableStream({ type: "bytes", pull(c) { c.enqueue(bytes(1, 2)); } }).getReader({ mode: "byob" }); return [...(await r.read(new Uint8Array(4), { min: 3 })).value]; });
about("streams: strategies count", () => { let c; new ReadableStream({ start(one) { c = one; } }, new ByteLengthQueuingStrategy({ highWaterMark: 10 })); c.enqueue(bytes(1, 2, 3)); return c.desiredSize; });
about("streams: released readers' reads end", async () => { const r = new ReadableStream().getReader(), read = settled(r.read()); r.releaseLock(); return read; });
about("streams: abort reaches the sink's signal", async () => { let c; const w = new WritableStream({ start(one) { c = one; } }); await settled(w.abort(new Error("x"))); return [c.signal.aborted, c.signal.reason.message]; });
about("streams: pipeTo with a signal that is aborted", async () => settled(new ReadableStream().pipeTo(new WritableStream(), { signal: AbortSignal.abort() })));
about("streams: tee'd branches are independent", async () => { const [a, b] = words(bytes(1), bytes(2)).tee(); a.cancel(); return all(b); });
about("streams: from anything iterable", async () => all(ReadableStream.from((async function* () { yield "a"; yield "b"; })())));
about("streams: iterators", async () => { const stream = words("a", "b", "c"); for await (const chunk of stream.values({ preventCancel: true })) if (chunk === "a") break; return [stream.locked, await all(stream)]; });
about("streams: a transform that keeps all until its end", async () => { let held = ""; return all(words("a", "b").pipeThrough(new TransformStream({ transform(chunk) { held += chunk; }, flush(c) { c.enqueue(held); } }))); });
about("streams: brands", () => [named(() => new ReadableStreamDefaultController()), named(() => ReadableStream.prototype.getReader.call({})), named(() => new ReadableStream({ type: "other" }))]);

// Headers, Request, Response
about("headers: iterated while they change, in order", () => { const h = new Headers({ b: "1", a: "2", "set-cookie": "x" }); h.append("Set-Cookie", "y"); const seen = []; for (const [name, value] of h) { seen.push(`${name}=${value}`); if (name === "a") h.append("c", "3"); } return seen; });
about("headers: what they are made of", () => [named(() => new Headers(null)), named(() => new Headers([["a"]])), named(() => new Headers(1)), named(() => new Headers({ "\u0100": "a" })), named(() => new Headers([["a", "\u0100"]])), [...new Headers([["a", " b\t"]])], [...new Headers(new Map([["x", 1]]))]]);
about("headers: immutable ones", () => [named(() => Response.redirect("http://a.test/").headers.set("a", "b")), named(() => Response.error().headers.append("a", "b"))]);
about("request: defaults", () => { const r = new Request("http://a.test/"); return [r.mode, r.credentials, r.cache, r.redirect, r.referrer, r.destination, r.integrity, r.keepalive, r.duplex, r.signal.aborted]; });
about("request: wrong values", () => ["mode", "credentials", "cache", "redirect", "referrerPolicy"].map((key) => named(() => new Request("http://a.test/", { [key]: "wrong" }))));
about("request: methods", () => [new Request("http://a.test/", { method: "post" }).method, new Request("http://a.test/", { method: "patch" }).method, new Request("http://a.test/", { method: "PROPFIND" }).method, ...["TRACE", "connect", "TRACK", "a b"].map((method) => named(() => new Request("http://a.test/", { method })))]);
about("request: a signal of its own follows", () => { const c = new AbortController(), r = new Request("http://a.test/", { signal: c.signal }), other = new Request(r); c.abort("why"); return [r.signal === c.signal, r.signal.reason, other.signal.reason]; });
about("request: made of one whose body it takes", async () => { const from = new Request("http://a.test/", { method: "POST", body: "x" }), to = new Request(from); return [from.bodyUsed, to.bodyUsed, await to.text(), named(() => new Request(from))]; });
about("response: status text", () => [new Response().statusText, new Response(null, { statusText: "Fine" }).statusText, named(() => new Response(null, { statusText: "a\nb" }))]);
about("response: statuses", () => [0, 199, 600, 1000].map((status) => named(() => new Response(null, { status }))));
about("response: types", () => [new Response().type, Response.error().type, Response.error().status, named(() => Response.redirect("http://a.test/", 200)), named(() => Response.json())]);
about("response: 204 and an empty string", () => [new Response("", { status: 204 }).status, named(() => new Response("x", { status: 204 })), named(() => Response.json({}, { status: 204 }))]);
about("body: what was never there is never used", async () => { const r = new Response(); await r.text(); return [r.bodyUsed, await r.text(), r.body]; });
about("body: locked and disturbed", async () => {
  const locked = new Response("x"), read = new Response("x"), cancelled = new Response("x");
  locked.body.getReader();
  await read.body.getReader().read();
  await cancelled.body.cancel();
  return [await settled(locked.text()), locked.bodyUsed, await settled(read.text()), read.bodyUsed, await settled(cancelled.text()), named(() => locked.clone()), named(() => new Response(locked.body))];
});
about("body: after it was read", async () => { const r = new Response("x"); await r.text(); return [r.bodyUsed, r.body.locked, named(() => r.body.getReader()), await settled(r.json())]; });
about("body: chunks that are no bytes", async () => Promise.all([1, "text", null, undefined, {}, [1]].map((chunk) => settled(new Response(words(chunk)).text()))));
about("body: clones", async () => { const a = new Response(words(bytes(65), bytes(66))), b = a.clone(); return [await a.text(), await b.text(), await new Response("c").clone().text()]; });
about("body: a BOM", async () => [await new Response(bytes(0xef, 0xbb, 0xbf, 0x41)).text(), await new Response("\ufeff1").json()]);
about("body: bytes are copies", async () => { const given = bytes(1, 2), r = new Response(given); given[0] = 9; return [...(await r.bytes())]; });
about("fetch: data", async () => { const r = await fetch("data:text/plain;charset=utf-8;base64,aMOk"), s = await fetch("data:,a%20b"); return [r.status, r.headers.get("content-type"), await r.text(), s.headers.get("content-type"), await s.text(), await settled(fetch("data:x"))]; });
about("fetch: blobs", async () => { const url = URL.createObjectURL(new Blob(["abc"], { type: "a/b" })), r = await fetch(url), text = await r.text(); URL.revokeObjectURL(url); return [r.headers.get("content-type"), text, await settled(fetch(url))]; });

// Forms and blobs
about("form: boundary text within a value", () => form("multipart/form-data; boundary=B", "--B", 'Content-Disposition: form-data; name="a"', "", "x--By\r\n--Bz", "--B--", ""));
about("form: parameters in any order, quoted, escaped", () => form('multipart/form-data; charset=x; boundary="B"', "--B", 'content-disposition: form-data; filename="a\\"%22.txt"; name="n%0D%0A"', "Content-Type: IMAGE/PNG", "", "p", "--B--"));
about("form: preamble and blanks after a boundary", () => form("multipart/form-data; boundary=B", "preamble", "--B \t", 'Content-Disposition: form-data; name="a"', "", "", "--B--", "epilogue"));
about("form: what is cut off, or is none", async () => Promise.all([form("multipart/form-data; boundary=B", "--B", 'Content-Disposition: form-data; name="a"', "", "x", "--B"), form("multipart/form-data; boundary=B", "nothing"), form("multipart/form-data; boundary=B", "--B", "X: y", "", "x", "--B--"), form("multipart/form-data", ""), form("text/plain", "a=b"), form("multipart/form-data; boundary=B", "--B--")].map(settled)));
about("form: there and back", async () => { const f = new FormData(); f.append("a\n\"", "x\ny"); f.append("f", new Blob(["abc"]), "n\"\r\n.txt"); f.set("z", "\ud800"); return [...(await new Response(f).formData())].map(([name, value]) => [name, value.name ?? value]); });
about("form: urlencoded", async () => form("application/x-www-form-urlencoded;charset=utf-8", "a=b+c&d=%ff"));
about("form: values", () => { const f = new FormData(); f.append("f", new File(["x"], "n", { lastModified: 5 })); f.append("b", new Blob()); return [f.get("f").lastModified, f.get("b").name, named(() => f.append("x", "y", "z")), named(() => f.append("x"))]; });
about("blob: slices", async () => { const b = new Blob(["abcdef"]); return Promise.all([b.slice(1, -1), b.slice(-2), b.slice(4, 2), b.slice(NaN, 2.5), b.slice(1.5)].map((one) => one.text())); });
about("blob: parts and types", async () => [await new Blob([bytes(65), new DataView(bytes(66).buffer), "\ud800", 1, new Blob(["x"])]).text(), new Blob([], { type: "TEXT/Plain; a=b" }).type, new Blob([], { type: "no type" }).type, named(() => new Blob("abc")), await new Blob(["a\r\nb"], { endings: "native" }).text()]);
about("blob: files", () => { const now = Date.now(), f = new File([], "n"); return [f.lastModified >= now, new File([], "n", { lastModified: 1.9 }).lastModified, f instanceof Blob, named(() => new File([]))]; });
about("blob: types of responses", async () => [(await new Response("x", { headers: { "content-type": "Text/HTML; a=\"b\"; a=c" } }).blob()).type, (await new Response(bytes(1)).blob()).type]);

// Events
about("events: attributes", () => { const e = new Event("x", { bubbles: true, composed: true }); return [e.bubbles, e.composed, e.cancelable, e.eventPhase, e.isTrusted, typeof e.timeStamp, e.target, e.composedPath(), Event.AT_TARGET]; });
about("events: capture, passive, once, order", () => { const t = new EventTarget(), seen = []; t.addEventListener("x", () => seen.push("bubble")); t.addEventListener("x", () => seen.push("capture"), true); t.addEventListener("x", (e) => e.preventDefault(), { passive: true }); t.addEventListener("x", { handleEvent(e) { seen.push(e.currentTarget === t, e.eventPhase); } }, { once: true }); const good = t.dispatchEvent(new Event("x", { cancelable: true })); t.removeEventListener("x", () => {}); t.dispatchEvent(new Event("x")); return [good, ...seen]; });
about("events: a listener that throws", () => { const seen = []; const t = new EventTarget(), heard = (e) => { seen.push(e.error.message); e.preventDefault(); }; addEventListener("error", heard); t.addEventListener("x", () => { throw new Error("one"); }); t.addEventListener("x", () => seen.push("two")); t.dispatchEvent(new Event("x")); removeEventListener("error", heard); return seen; });
about("events: dispatched twice at once", () => { const t = new EventTarget(), e = new Event("x"); let name; t.addEventListener("x", () => { name = named(() => t.dispatchEvent(e)); }); t.dispatchEvent(e); return [name, named(() => t.dispatchEvent({}))]; });
about("events: handlers", () => { const c = new AbortController(), seen = []; c.signal.addEventListener("abort", () => seen.push("first")); c.signal.onabort = function (e) { seen.push(this === c.signal && e.target === c.signal); }; c.signal.addEventListener("abort", () => seen.push("last")); c.abort(); return seen; });
about("events: unhandled rejections", async () => { const seen = []; globalThis.onunhandledrejection = (e) => { seen.push(e.reason); return false; }; await later(0); Promise.reject("forgotten"); await later(0); globalThis.onunhandledrejection = null; return seen; });
about("abort: any, in order", () => { const c = new AbortController(), seen = [], a = AbortSignal.any([c.signal]), b = AbortSignal.any([a, AbortSignal.any([])]); for (const [name, s] of [["b", b], ["a", a], ["c", c.signal]]) s.addEventListener("abort", () => seen.push(name + b.aborted)); c.abort(7); return [...seen, b.reason]; });
about("abort: timeout", async () => { const s = AbortSignal.timeout(1); await new Promise((go) => s.addEventListener("abort", go)); return [s.reason.name, named(() => AbortSignal.timeout(-1)), named(() => s.throwIfAborted())]; });
about("messages: ports", async () => { const { port1, port2 } = new MessageChannel(), seen = []; const got = new Promise((go) => { port2.onmessage = (e) => { seen.push(e.data, e instanceof MessageEvent); if (seen.length === 4) go(); }; }); const data = { a: 1 }; port1.postMessage(data); data.a = 2; port1.postMessage(new Map([[1, 2]])); seen.push; await got; return [seen[0].a, seen[1], seen[2].get(1)]; });
about("messages: buffers and ports are transferred", async () => { const { port1, port2 } = new MessageChannel(), other = new MessageChannel(), buffer = new ArrayBuffer(4); const got = new Promise((go) => { port2.onmessage = go; }); port1.postMessage(buffer, [buffer, other.port2]); const e = await got; return [buffer.byteLength, e.data.byteLength, e.ports.length, named(() => port1.postMessage(Symbol()))]; });

// The rest
about("clone: what it keeps and refuses", () => { const file = structuredClone(new File(["x"], "n", { type: "a/b", lastModified: 3 })), error = structuredClone(new TypeError("m", { cause: [1] })), buffer = new ArrayBuffer(2, { maxByteLength: 8 }); return [file.name, file.lastModified, error instanceof TypeError, error.cause, structuredClone(buffer).maxByteLength, structuredClone(Object("s")) instanceof String, structuredClone(new DOMException("m", "AbortError")).code, ...[new Response(), new WeakMap(), Promise.resolve(), () => {}, Symbol(), new ReadableStream()].map((value) => named(() => structuredClone(value)))]; });
about("clone: transfer", () => { const buffer = new ArrayBuffer(8), view = new Uint8Array(buffer), to = structuredClone({ view, again: view }, { transfer: [buffer] }); return [buffer.detached, to.view.length, to.view === to.again, named(() => structuredClone(1, { transfer: [buffer] })), named(() => structuredClone(1, { transfer: [{}] })), named(() => structuredClone())]; });
about("timers: this, order, arguments", async () => { const seen = []; setTimeout(function (...given) { seen.push(this === undefined || this === globalThis, ...given); }, 1, "a", "b"); setTimeout(() => seen.push("huge"), 2 ** 32 + 1); const gone = setTimeout(() => seen.push("never"), 1); clearTimeout(String(gone)); await later(4); return [...seen, named(() => setTimeout("code"))]; });
about("timers: of the top level", () => top);
about("console: nothing throws", () => { console.log("%s is %d%% of %i, %f %o %j %c.", "a", 1.5, "2.5", "x", { a: 1n }, [1], "css", "more", Symbol("s"), new Date(NaN), { get broken() { throw new Error("no"); } }); console.group("g"); console.error(new Error("outer", { cause: new TypeError("inner") })); console.groupEnd(); console.table([{ a: 1 }]); console.time("t"); console.timeLog("t"); console.timeEnd("t"); console.count(); console.countReset(); console.assert(false, "said"); console.dirxml({}); console.groupCollapsed(); console.clear(); console.log(new Proxy({}, { ownKeys() { throw new Error("no"); }, getPrototypeOf() { throw new Error("no"); } })); return [String(console), named(() => console.count(Symbol()))]; });
about("performance", () => [Math.abs(performance.timeOrigin + performance.now() - Date.now()) < 1000, performance.toJSON().timeOrigin === performance.timeOrigin, performance instanceof Performance, named(() => new Performance())]);
about("performance: marks and measures", () => {
  const first = performance.mark("a", { startTime: 10, detail: { x: [1] } });
  const second = new PerformanceMark("b", { startTime: 5 });
  performance.mark("c");
  const between = performance.measure("m", "a", "c"), fixed = performance.measure("n", { start: 1, duration: 2 }), open = performance.measure("o", undefined, "a");
  const names = (list) => list.map(({ name }) => name);
  const told = [
    first.toJSON(), first instanceof PerformanceEntry, second.startTime, between.startTime, between.duration >= -10, [fixed.startTime, fixed.duration, fixed.detail], [open.startTime, open.duration],
    names(performance.getEntriesByType("mark")), names(performance.getEntriesByName("m")), names(performance.getEntriesByName("m", "mark")),
    [() => performance.measure("x", "nobody"), () => performance.mark("x", { startTime: -1 }), () => performance.measure("x", { detail: 1 }), () => performance.measure("x", { start: 1, end: 2, duration: 3 }), () => performance.measure("x", { start: 1 }, "a"), () => performance.mark(), () => new PerformanceMeasure(), () => new PerformanceEntry()].map(named),
    PerformanceMark.name, `${first}`,
  ];
  performance.clearMarks("a");
  performance.clearMeasures();
  return [...told, names(performance.getEntries())];
});
about("weak references hold until the end of the job", () => typeof new WeakRef({}).deref());
about("interfaces say what they are", () => [new Headers(), new URL("a:b"), new Blob(), new EventTarget(), new ReadableStream(), new Response(), new AbortController().signal, new FormData(), new URLSearchParams().entries()].map(String));
about("members are enumerable, internals are not", () => { const seen = []; for (const name in new Response()) seen.push(name); return [seen.includes("status"), seen.includes("json"), seen.some((name) => name[0] === "_"), Object.keys(new Request("http://a.test/")).length]; });
about("errors can be given another stack", () => { const error = new Error("x"); error.stack = undefined; return error.stack === undefined; });

let top = "not yet";
setTimeout(() => { top = "has run"; }, 1);

const pages = {
  "/locked-text": () => { const r = new Response("text"); r.body.getReader(); return r; },
  "/locked-stream": () => { const r = new Response(words(bytes(65))); r.body.getReader(); return r; },
  "/teed": () => { const r = new Response(words(bytes(65))); r.body.tee(); return r; },
  "/echo": (request) => new Response(request.body),
  "/echo-again": (request) => new Response(new Request(request).body, { headers: { "x-locked": String(request.bodyUsed) } }),
  "/byob": async (request) => { const reader = request.body.getReader({ mode: "byob" }); let text = ""; for (;;) { const { value, done } = await reader.read(new Uint8Array(3)); if (done) return new Response(text); text += `${value.length} `; } },
  "/wrong-chunk": () => new Response(words("text")),
  "/immutable": (request) => new Response(named(() => request.headers.set("a", "b"))),
};
export default {
  async fetch(request) {
    const { pathname } = new URL(request.url);
    if (pathname !== "/") return pages[pathname](request);
    const told = {};
    for (const name in acts) try { told[name] = await acts[name](); } catch (error) { told[name] = `threw ${error}`; }
    return Response.json(told);
  },
};
