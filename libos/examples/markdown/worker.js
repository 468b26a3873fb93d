// Markdown to HTML: GET shows a form with an example, POST renders the body. The renderer is the npm package `marked`.
import { Marked } from "marked";

const escape = (text) => text.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
const harmless = (address) => /^(https?:|mailto:|[/#?.]|[\w-]+(\/|$))/i.test(address.trim());

// Raw HTML is shown as text, and links go only where a visitor may be sent: who writes the Markdown may be anybody.
const marked = new Marked({
  renderer: {
    html: ({ text }) => escape(text),
    link({ href, title, tokens }) {
      const text = this.parser.parseInline(tokens);
      if (!harmless(href)) return text;
      return `<a href="${escape(href)}"${title ? ` title="${escape(title)}"` : ""} rel="nofollow">${text}</a>`;
    },
    image: ({ href, text }) => (harmless(href) ? `<img src="${escape(href)}" alt="${escape(text)}">` : escape(text)),
  },
});

const example = `# Nunataks

A *nunatak* is a peak that stands **alone** above a glacier.

| peak | metres |
|---|---|
| Gunnbjørn Fjeld | 3694 |
| Hvannadalshnúkur | 2110 |

- its flora survived the ice
- its name is [Greenlandic](https://en.wikipedia.org/wiki/Nunatak)
`;

const page = (source) => `<!doctype html><html lang="en"><meta charset="utf-8">
<meta name="viewport" content="width=device-width"><title>Markdown</title>
<style>
  body { font: 16px/1.6 system-ui, sans-serif; color: #102a43; max-width: 68rem; margin: 2rem auto; padding: 0 1.5rem }
  main { display: grid; grid-template-columns: repeat(auto-fit, minmax(22rem, 1fr)); gap: 2rem }
  textarea { width: 100%; min-height: 24rem; box-sizing: border-box; font: 14px/1.5 ui-monospace, monospace;
    padding: .8rem; border: 1px solid #bcccdc; border-radius: 6px }
  button { margin-top: .6rem; padding: .45rem 1.1rem; border: 0; border-radius: 6px; background: #0b6e99; color: #fff }
  table { border-collapse: collapse } th, td { border-bottom: 1px solid #d9e2ec; padding: .3rem .9rem .3rem 0; text-align: left }
  code { background: #f0f4f8; padding: .1em .3em }
</style>
<main><form method="post"><textarea name="source" aria-label="Markdown">${escape(source)}</textarea>
<button>Render</button></form><article>${marked.parse(source)}</article></main></html>
`;

const html = (text, cache) =>
  new Response(text, {
    headers: {
      "Content-Type": "text/html; charset=utf-8",
      "Cache-Control": cache,
      "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src *; form-action 'self'",
    },
  });

const first = page(example); // rendered once, while the image is built

export default {
  async fetch(request) {
    if (request.method === "GET" || request.method === "HEAD") return html(first, "public, max-age=300");
    if (request.method !== "POST") return new Response("GET or POST expected\n", { status: 405, headers: { Allow: "GET, HEAD, POST" } });
    const body = await request.text();
    if ((request.headers.get("Content-Type") ?? "").startsWith("application/x-www-form-urlencoded"))
      return html(page((new URLSearchParams(body).get("source") ?? "").replaceAll("\r\n", "\n")), "no-store");
    return html(marked.parse(body), "no-store"); // curl --data-binary @page.md
  },
};
