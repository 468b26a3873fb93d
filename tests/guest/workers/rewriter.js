// HTMLRewriter: each path one change of the same page, which comes in chunks that cut tags and texts.
const PAGE = `<!DOCTYPE html>
<html><head><title>T &amp; t</title><script>if (a < b) "<p>";</script></head>
<body class="x y" data-n=1><!-- note --><p id=first>one <b>two</b> three</p><P CLASS='a b'>four<br>five</P>
<ul><li>1<li>2</li><li title="q &quot;">3</li></ul><img src="a.png" alt><svg><path d="M0"/><g/></svg><div><div>in</div></div>&copy; end</body></html>`;
const chunked = (size) => new ReadableStream({ start(controller) { const bytes = new TextEncoder().encode(PAGE); for (let at = 0; at < bytes.length; at += size) controller.enqueue(bytes.slice(at, at + size)); controller.close(); } });
const changed = (make, size = 37) => make(new HTMLRewriter()).transform(new Response(chunked(size), { headers: { "Content-Type": "text/html", "X-A": "b" } })).text();
const element = (selector, handler) => changed((rewriter) => rewriter.on(selector, { element: handler }));
const names = async (selector) => { const seen = []; await element(selector, (each) => { seen.push(`${each.tagName}${each.getAttribute("id") ?? ""}`); }); return seen.join(); };

const ASKED = {
  "/same": async () => (await changed((rewriter) => rewriter)) === PAGE && (await changed((rewriter) => rewriter.on("*", { element() {} }), 3)) === PAGE,
  "/around": () => element("p", (p) => { p.before("<i>").before("<b>", { html: true }).after("A").after("B").prepend("1").prepend("2").append("3").append("4"); }),
  "/attributes": () => element("body, [class~=a]", (each) => { each.setAttribute("data-N", 'a"b').removeAttribute("class").setAttribute("id", each.hasAttribute("data-n")); }),
  "/read": async () => { const seen = []; await element("li, img, body", (each) => { seen.push([each.tagName, each.getAttribute("title"), each.getAttribute("ALT"), [...each.attributes], each.namespaceURI]); }); return seen; },
  "/remove": () => element("ul", (ul) => { ul.remove(); }),
  "/unwrap": () => element("b, ul", (each) => { each.removeAndKeepContent(); }),
  "/replace": () => element("p", (p) => { p.replace("<hr>", { html: true }); }),
  "/inner": () => element("p", (p) => { p.setInnerContent("<new>"); }),
  "/rename": () => element("b", (b) => { b.tagName = "strong"; }),
  "/later": () => element("b", async (b) => { await null; await new Promise((resolve) => setTimeout(resolve, 1)); b.after("!"); }),
  "/end": () => element("p", (p) => { p.onEndTag((end) => { end.before(`[${end.name}]`).after("|"); }); }),
  "/void": () => element("br, img", (each) => { each.before("(").after(")"); }),
  "/texts": async () => { let text = ""; await changed((rewriter) => rewriter.on("p", { text(chunk) { text += chunk.text + (chunk.lastInTextNode ? "|" : ""); } }), 11); return text; },
  "/shout": () => changed((rewriter) => rewriter.on("b", { text(chunk) { if (!chunk.lastInTextNode) chunk.replace(chunk.text.toUpperCase()); } }), 4096),
  "/comments": () => changed((rewriter) => rewriter.on("body", { comments(comment) { comment.text = `${comment.text}!`; comment.after("c"); } })),
  "/document": async () => { const seen = []; const text = await changed((rewriter) => rewriter.onDocument({ doctype(doctype) { seen.push([doctype.name, doctype.publicId]); }, comments(comment) { seen.push(comment.text); comment.remove(); }, end(end) { end.append("<!--end-->", { html: true }); } })); return [seen, text.slice(-20), text.includes("note")]; },
  "/selectors": async () => [await names("body > p"), await names("div div"), await names("p#first"), await names("p:nth-child(2)"), await names("li:first-child"), await names("li:not([title])"), await names("svg > *"), await names("[class='a b']"), await names("[data-n='1'] b"), await names("p:nth-of-type(2n)"), await names("[src$='.png']")],
  "/bad": () => { try { new HTMLRewriter().on("p:hover", {}); return "taken"; } catch (error) { return error.name; } },
  "/thrown": () => element("p", () => { throw new RangeError("thrown"); }).catch((error) => error.message),
  "/fields": async () => { const response = new HTMLRewriter().transform(new Response("<p>", { status: 201, headers: { "X-A": "b", "Content-Length": "3" } })); return [response.status, response.headers.get("x-a"), new HTMLRewriter().transform(new Response(null)).body]; },
};

export default {
  async fetch(request) {
    return Response.json((await ASKED[new URL(request.url).pathname]()) ?? null);
  },
};
