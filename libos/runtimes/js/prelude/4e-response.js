// Response (the WHATWG Fetch Standard, section 5.5).
"use strict";
(() => {
  const share = globalThis.__share, { Headers, Body, options } = share;
  const BAD_TEXT = /[^\t\x20-\x7e\x80-\xff]/, hasNoBody = (status) => status === 204 || status === 304 || status === 205 || status === 101;

  class Response extends Body {
    #status = 200; #text = ""; #headers; #socket = null; #fetched = null; // {url, redirected}, of what fetch() brought
    constructor(body = null, init = undefined) {
      super();
      if (init !== undefined && init !== null) {
        options(init, "Response");
        const { status, statusText, headers, webSocket = null } = init;
        if (status !== undefined) {
          const number = Math.trunc(Number(status));
          if (!(number >= 200 && number <= 599) && (number !== 101 || webSocket === null)) throw new RangeError("Responses may only be constructed with status codes in the range 200 to 599, inclusive.");
          this.#status = number;
        }
        if (statusText !== undefined) {
          this.#text = `${statusText}`;
          if (BAD_TEXT.test(this.#text)) throw new TypeError("Invalid status text.");
        }
        if (headers !== undefined) this.#headers = new Headers(headers);
        this.#socket = webSocket;
        if (webSocket !== null && this.#status !== 101) throw new RangeError("Responses with a WebSocket must have status code 101.");
      }
      this.#headers ??= new Headers();
      if (body !== null && body !== undefined) Response.#fill(this, body, null);
    }
    static #fill(response, body, kind) { // kind: the content type in place of the one that follows from the body
      if (hasNoBody(response.#status)) {
        if (body === "") return; // as on workerd, which frameworks count on
        throw new TypeError("Response with null body status (101, 204, 205, or 304) cannot have a body.");
      }
      const type = share.setBody(response, body), list = share.listOf(response.#headers);
      if (type !== null && (list.length === 0 || share.fieldOf(response.#headers, "content-type") === null)) { list[list.length] = "content-type"; list[list.length] = kind ?? type; }
    }
    static json(value, init = undefined) {
      const text = JSON.stringify(value);
      if (text === undefined) throw new TypeError("Value is not JSON serializable");
      const response = new Response(null, init);
      if (hasNoBody(response.#status)) throw new TypeError("Response with null body status (101, 204, 205, or 304) cannot have a body.");
      Response.#fill(response, text, "application/json");
      return response;
    }
    static redirect(url, status = 302) {
      share.need(arguments.length, 1, "redirect()");
      const location = new URL(url).href;
      if (![301, 302, 303, 307, 308].includes(Number(status))) throw new RangeError("Invalid redirect status code.");
      const response = new Response(null, { status, headers: { location } });
      share.fixHeaders(response.#headers);
      return response;
    }
    static error() { const response = new Response(); response.#status = 0; share.fixHeaders(response.#headers); return response; }
    static {
      share.fetchedResponse = (status, text, list, url, redirected) => {
        const response = new Response();
        response.#status = status;
        response.#text = text;
        response.#headers = share.headersOf(list, true);
        response.#fetched = { url, redirected };
        return response;
      };
    }
    get status() { return this.#status; }
    get ok() { return this.#status >= 200 && this.#status < 300; }
    get statusText() { return this.#text; }
    get headers() { return this.#headers; }
    get url() { return this.#fetched ? this.#fetched.url : ""; }
    get redirected() { return this.#fetched ? this.#fetched.redirected : false; }
    get type() { return this.#status === 0 ? "error" : this.#fetched ? "basic" : "default"; }
    get webSocket() { return this.#socket; }
    clone() {
      if (share.unusable(this)) throw new TypeError("Cannot clone a Response whose body has been used, or is locked.");
      const to = new Response();
      to.#status = this.#status;
      to.#text = this.#text;
      to.#headers = share.headersOf(share.listOf(this.#headers).slice(), this.#fetched !== null);
      to.#fetched = this.#fetched;
      return share.cloneBody(this, to);
    }
  }
  Object.defineProperties(Response.prototype, Object.fromEntries(["body", "bodyUsed", "text", "json", "bytes", "arrayBuffer", "blob", "formData"].map((name) => [name, Object.getOwnPropertyDescriptor(Body.prototype, name)])));
  class FetchEvent extends Event {}
  share.interfaces({ Response, FetchEvent });
  share.Response = Response;
})();
