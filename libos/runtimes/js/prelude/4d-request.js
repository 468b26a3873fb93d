// Request (the WHATWG Fetch Standard, section 5.4).
"use strict";
(() => {
  const share = globalThis.__share, { nk, Headers, Body, text } = share;
  const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
  const METHODS = ["DELETE", "GET", "HEAD", "OPTIONS", "POST", "PUT"], FORBIDDEN = ["CONNECT", "TRACE", "TRACK"];
  const CHOICES = {
    referrerPolicy: ["", "no-referrer", "no-referrer-when-downgrade", "same-origin", "origin", "strict-origin", "origin-when-cross-origin", "strict-origin-when-cross-origin", "unsafe-url"],
    mode: ["cors", "no-cors", "same-origin", "navigate"],
    credentials: ["same-origin", "omit", "include"],
    cache: ["default", "no-store", "reload", "no-cache", "force-cache", "only-if-cached"],
    redirect: ["follow", "error", "manual"],
    duplex: ["half"], priority: ["high", "low", "auto"],
  };
  const DEFAULTS = { signal: null, redirect: "follow", cf: undefined, referrer: "about:client", referrerPolicy: "", mode: "cors", credentials: "same-origin", cache: "default", integrity: "", keepalive: false, duplex: "half" };
  const choose = (init, name) => {
    const value = `${init[name]}`;
    if (!CHOICES[name].includes(value)) throw new TypeError(`Request: ${name}: one of ${CHOICES[name].map((one) => `"${one}"`).join(", ")} expected, got "${value}"`);
    return value;
  };
  const methodOf = (value) => {
    const method = `${value}`, upper = method.toUpperCase();
    if (!TOKEN.test(method) || FORBIDDEN.includes(upper)) throw new TypeError(`Invalid HTTP method string: ${method}`);
    return METHODS.includes(upper) ? upper : method;
  };
  share.incoming = Symbol("from the gate");

  class Request extends Body {
    #about; #headers = null; #options = null; // [method, URL], from the gate what nk.about() says; what few requests have
    constructor(input, init = undefined) {
      super();
      if (input === share.incoming) { this.#about = init; return; }
      init = share.options(init, "Request");
      let from = null;
      if (typeof input === "object" && input !== null && #about in input) {
        from = input;
        this.#about = [from.method, from.url];
        if (from.#options || from.#incoming) this.#options = { ...Request.#more(from), cf: undefined, signal: from.#incoming ? from.signal : from.#options.signal };
      } else this.#about = ["GET", new URL(input).href];
      if (init.method !== undefined) this.#about[0] = methodOf(init.method);
      this.#set(init);
      if (this.#options?.signal) this.#options.signal = AbortSignal.any([this.#options.signal]);
      if (init.headers !== undefined) this.#headers = new Headers(init.headers);
      else this.#headers = from === null ? new Headers() : share.headersOf(share.listOf(from.headers).slice(), false);
      this.#fill(init, from);
    }
    #set(init) {
      if (init.window !== undefined && init.window !== null) throw new TypeError("Request: no window expected");
      if (init.mode !== undefined && choose(init, "mode") === "navigate") throw new TypeError('Request: mode "navigate" is not for workers');
      for (const name of ["referrerPolicy", "mode", "credentials", "cache", "redirect", "duplex", "priority"])
        if (init[name] !== undefined) { const value = choose(init, name); if (name in DEFAULTS) Request.#more(this)[name] = value; }
      if (init.referrer !== undefined) {
        const referrer = text(init.referrer);
        Request.#more(this).referrer = referrer === "" ? "" : referrer === "about:client" ? referrer : new URL(referrer, this.url).href;
      }
      if (init.integrity !== undefined) Request.#more(this).integrity = `${init.integrity}`;
      if (init.keepalive !== undefined) Request.#more(this).keepalive = !!init.keepalive;
      if (init.cf !== undefined) Request.#more(this).cf = init.cf;
      if (this.#options?.cache === "only-if-cached" && this.#options.mode !== "same-origin") throw new TypeError('Request: mode "same-origin" expected with cache "only-if-cached"');
      if (init.signal !== undefined) {
        if (init.signal !== null && !(init.signal instanceof AbortSignal)) throw new TypeError("Request: an AbortSignal expected as signal");
        Request.#more(this).signal = init.signal;
      }
    }
    #fill(init, from) {
      const given = init.body !== undefined && init.body !== null;
      if ((given || (from !== null && share.rawOf(from) !== null && init.body === undefined)) && (this.method === "GET" || this.method === "HEAD")) throw new TypeError("Request with a GET or HEAD method cannot have a body.");
      if (!given) { if (from !== null) share.moveBody(from, this); return; }
      const type = share.setBody(this, init.body);
      if (from !== null && share.rawOf(from) !== null) share.use(from);
      if (type !== null && !this.#headers.has("content-type")) this.#headers.append("content-type", type);
    }
    static #more(request) { return (request.#options ??= { ...DEFAULTS, redirect: request.#incoming ? "manual" : "follow" }); }
    get #incoming() { return this.#about.length > 2; }
    static {
      share.clientLeft = (request, reason) => { // of one from the gate
        const options = Request.#more(request);
        options.signal ? share.abort(options.signal, reason) : (options.signal = AbortSignal.abort(reason));
      };
      share.signalOf = (request) => request.#options?.signal ?? null;
    }
    get method() { return this.#about[0]; }
    get url() { return this.#about[1]; }
    get headers() { return (this.#headers ??= share.headersOf(nk.fields(this.#about[2]), true)); }
    get destination() { return this.#about && ""; }
    get referrer() { return this.#options ? this.#options.referrer : "about:client"; }
    get referrerPolicy() { return this.#options ? this.#options.referrerPolicy : ""; }
    get mode() { return this.#options ? this.#options.mode : "cors"; }
    get credentials() { return this.#options ? this.#options.credentials : "same-origin"; }
    get cache() { return this.#options ? this.#options.cache : "default"; }
    get redirect() { return this.#options ? this.#options.redirect : this.#incoming ? "manual" : "follow"; } // redirects of what a client asks are its own
    get integrity() { return this.#options ? this.#options.integrity : ""; }
    get keepalive() { return this.#options ? this.#options.keepalive : false; }
    get isReloadNavigation() { return this.#about && false; }
    get isHistoryNavigation() { return this.#about && false; }
    get signal() { return (Request.#more(this).signal ??= share.signal()); }
    get duplex() { return this.#about && "half"; }
    get cf() { return this.#options?.cf; }
    clone() {
      if (share.unusable(this)) throw new TypeError("Cannot clone a Request whose body has been used, or is locked.");
      const to = new Request(this.url, { method: this.method, headers: this.headers });
      to.#options = { ...Request.#more(this), signal: AbortSignal.any([this.signal]) };
      return share.cloneBody(this, to);
    }
  }
  Object.defineProperties(Request.prototype, Object.fromEntries(["body", "bodyUsed", "text", "json", "bytes", "arrayBuffer", "blob", "formData"].map((name) => [name, Object.getOwnPropertyDescriptor(Body.prototype, name)])));
  share.interfaces({ Request });
  share.Request = Request;
})();
