// requests: [["GET", "/"], ["GET", "/stream"], ["GET", "/html"]]
import { Hono } from "hono";
import { html, raw } from "hono/html";
import { jsx } from "hono/jsx";
import { renderToReadableStream, Suspense } from "hono/jsx/streaming";

const Slow = async () => { await new Promise((resolve) => setTimeout(resolve, 5)); return jsx("b", {}, "slow"); };
export default new Hono()
  .get("/", (c) => c.html(jsx("ul", { class: "a" }, ...["<x>", "y"].map((item) => jsx("li", {}, item)))))
  .get("/stream", (c) => c.body(renderToReadableStream(jsx(Suspense, { fallback: jsx("i", {}, "wait") }, jsx(Slow, {})))))
  .get("/html", (c) => c.html(html`${raw("<b>")}${"<i>"}`));
