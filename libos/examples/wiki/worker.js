// A wiki whose pages live in the machine's memory: view, edit, history, search.

const HISTORY_MAX = 20;
const PAGE_MAX = 20_000; // characters
const PAGES_MAX = 500;

// Templates: html`...` escapes every value that is not itself the result of html`...`.
class Html {
  constructor(text) { this.text = text; }
}
const shown = (value) =>
  Array.isArray(value) ? value.map(shown).join("")
  : value instanceof Html ? value.text
  : String(value ?? "").replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
const html = (strings, ...values) =>
  new Html(strings.map((string, at) => string + (at < values.length ? shown(values[at]) : "")).join(""));

// Pages: name -> revisions, the newest first.
const pages = new Map();
const save = (name, text, when) => {
  const revisions = pages.get(name) ?? [];
  if (revisions[0]?.text === text) return;
  pages.set(name, [{ text, when, number: (revisions[0]?.number ?? 0) + 1 }, ...revisions].slice(0, HISTORY_MAX));
};
save("Home", "Welcome. This wiki lives in a virtual machine of a few kilobytes.\n\nRead about [[Nunatak]]s, or write a page of your own: every name in double brackets is a link.", null);
save("Nunatak", "A nunatak is a peak that stands alone above a glacier.\n\nBack [[Home]].", null);

const address = (name) => `./${encodeURIComponent(name)}`;

// Text to paragraphs; [[Name]] is a link, red where there is no such page.
const body = (text) =>
  text.split(/\n\s*\n/).map((part) => html`<p>${part.split(/(\[\[[^[\]\n]{1,80}\]\])/).map((piece) => {
    const name = piece.match(/^\[\[(.+)\]\]$/)?.[1];
    return name ? html`<a href="${address(name)}" class="${pages.has(name) ? "" : "missing"}">${name}</a>` : piece;
  })}</p>`);

const layout = (title, content, name = "") => html`<!doctype html><html lang="en"><meta charset="utf-8">
<meta name="viewport" content="width=device-width"><title>${title}</title><style>
  body { margin: 0; font: 17px/1.65 Georgia, serif; color: #1f2933; background: #f5f7fa }
  header, main { max-width: 44rem; margin: auto; padding: 1rem 1.5rem }
  header { display: flex; gap: 1rem; align-items: center; font: 15px system-ui, sans-serif }
  header a { color: #0b6e99; text-decoration: none } header form { margin-left: auto }
  main { background: #fff; border: 1px solid #e4e7eb; border-radius: 8px; padding: 1.5rem 2.2rem 2rem }
  h1 { font-size: 1.9rem; line-height: 1.2; margin: .3rem 0 1rem } a { color: #0b6e99 } a.missing { color: #b3261e }
  textarea { width: 100%; min-height: 18rem; box-sizing: border-box; font: 15px/1.5 ui-monospace, monospace; padding: .7rem }
  input, textarea { border: 1px solid #bcccdc; border-radius: 6px } input { padding: .35rem .6rem }
  button { margin-top: .7rem; padding: .45rem 1.2rem; border: 0; border-radius: 6px; background: #0b6e99; color: #fff; font-size: 1rem }
  .dim { color: #627d98; font: 14px system-ui, sans-serif }
</style>
<header><a href="./Home"><b>Wiki</b></a>${name && [html`<a href="${address(name)}?edit">Edit</a>`, html`<a href="${address(name)}?history">History</a>`]}
<form action="./search"><input name="q" placeholder="Search" aria-label="Search"></form></header><main><h1>${title}</h1>${content}</main></html>`;

const answer = (page, status = 200, fields = {}) =>
  new Response(page.text, {
    status,
    headers: {
      "Content-Type": "text/html; charset=utf-8",
      "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'",
      ...fields,
    },
  });

const when = (revision) => (revision.when ? revision.when.toISOString().slice(0, 16).replace("T", " ") : "when this was built");

const view = (request, name, revision) => {
  const tag = `"${encodeURIComponent(name)}-${revision.number}"`;
  if (request.headers.get("If-None-Match") === tag) return new Response(null, { status: 304, headers: { ETag: tag } });
  const last = html`<p class="dim">Revision ${revision.number}, ${when(revision)}</p>`;
  return answer(layout(name, [body(revision.text), last], name), 200, { ETag: tag, "Cache-Control": "no-cache" });
};

const edit = (name, status = 200, complaint = "", text = pages.get(name)?.[0].text) =>
  answer(layout(`Edit ${name}`, html`<form method="post" action="${address(name)}">${complaint && html`<p>${complaint}</p>`}
<textarea name="text" aria-label="Text">${text}</textarea><button>Save</button></form>`, name), status, { "Cache-Control": "no-store" });

const history = (name) =>
  answer(layout(`History of ${name}`, html`<ol reversed start="${pages.get(name)[0].number}">${pages.get(name).map((revision) =>
    html`<li><a href="${address(name)}?revision=${revision.number}">${when(revision)}</a> <span class="dim">${revision.text.length} characters</span>`)}</ol>`, name));

const search = (words) => {
  const wanted = words.toLowerCase().trim();
  const found = [...pages].filter(([name, [{ text }]]) => wanted && `${name}\n${text}`.toLowerCase().includes(wanted));
  return answer(layout(`Pages with “${words}”`, found.length
    ? html`<ul>${found.map(([name, [{ text }]]) => html`<li><a href="${address(name)}">${name}</a> <span class="dim">${text.slice(0, 80)}</span>`)}</ul>`
    : html`<p>None.</p>`));
};

const write = async (request, name) => {
  const text = (new URLSearchParams(await request.text()).get("text") ?? "").replaceAll("\r\n", "\n").trim();
  if (!text || text.length > PAGE_MAX) return edit(name, 422, `1 to ${PAGE_MAX} characters expected, got ${text.length}.`, text.slice(0, PAGE_MAX));
  if (!pages.has(name) && pages.size >= PAGES_MAX) return edit(name, 507, `At most ${PAGES_MAX} pages expected.`, text);
  save(name, text, new Date());
  return new Response(null, { status: 303, headers: { Location: address(name) } });
};

export default {
  async fetch(request) {
    const url = new URL(request.url);
    let name;
    try {
      name = decodeURIComponent(url.pathname.split("/").pop()) || "Home";
    } catch {
      return answer(layout("No such page", html`<p>Its name is not UTF-8.</p>`), 400);
    }
    if (name.length > 80 || /[[\]\u0000-\u001f]/.test(name)) return answer(layout("No such page", html`<p>1 to 80 characters expected.</p>`), 400);
    if (request.method === "POST") return write(request, name);
    if (request.method !== "GET" && request.method !== "HEAD") return new Response("GET or POST expected\n", { status: 405, headers: { Allow: "GET, HEAD, POST" } });
    if (name === "search" && url.searchParams.has("q")) return search(url.searchParams.get("q"));
    if (url.searchParams.has("edit")) return edit(name);
    const revisions = pages.get(name);
    if (!revisions) return answer(layout(name, html`<p>There is no such page yet: <a href="${address(name)}?edit">write it</a>.</p>`), 404);
    if (url.searchParams.has("history")) return history(name);
    const wanted = url.searchParams.get("revision");
    const revision = wanted ? revisions.find(({ number }) => String(number) === wanted) : revisions[0];
    return revision ? view(request, name, revision) : answer(layout(name, html`<p>There is no such revision.</p>`), 404);
  },
};
