// HTMLRewriter: HTML changed on its way. htmlparser2's tokenizer cuts it, css-what reads selectors; what no handler has
// changed leaves as it came, byte by byte but for malformed UTF-8.
import { Rewriting } from "./rewriter/rewriting.js";
import { selectorOf } from "./rewriter/selectors.js";

class HTMLRewriter {
  #elements = []; #documents = [];
  on(selector, handlers) {
    this.#elements.push({ matches: selectorOf(selector), handlers });
    return this;
  }
  onDocument(handlers) {
    this.#documents.push(handlers);
    return this;
  }
  transform(response) {
    if (!(response instanceof Response)) throw new TypeError("Failed to execute 'transform' on 'HTMLRewriter': parameter 1 is not of type 'Response'.");
    if (response.body === null) return new Response(null, response);
    const headers = new Headers(response.headers);
    headers.delete("content-length");
    return new Response(changed(response.body, new Rewriting(this.#elements, this.#documents)), { status: response.status, statusText: response.statusText, headers });
  }
}

const changed = (body, rewriting) => {
  const reader = body.getReader(), decoder = new TextDecoder(), encoder = new TextEncoder();
  return new ReadableStream({
    async pull(controller) {
      for (;;) {
        const { value, done } = await reader.read();
        const text = done ? (await rewriting.write(decoder.decode())) + (await rewriting.end()) : await rewriting.write(decoder.decode(value, { stream: true }));
        if (text !== "") controller.enqueue(encoder.encode(text));
        if (done) controller.close();
        if (done || text !== "") return;
      }
    },
    cancel: (reason) => reader.cancel(reason),
  }, { highWaterMark: 0 });
};

export default () => ({ HTMLRewriter });
