// Headers, Request, Response (the WHATWG Fetch Standard, as far as a server needs it).
"use strict";
(() => {
  const share = globalThis.__share;
  const { expose, bytesOf, concat, deferred, nk } = share;
  const NAME = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/, BAD_VALUE = /[\0\r\n]|[^\x00-\xff]/;

  class Headers {
    #list = []; // name in lower case, value, ...
    get _list() { return this.#list; }
    set _list(list) { this.#list = list; }
    constructor(init) { if (init !== undefined && init !== null) this.#fill(init); }
    #fill(init) {
      if (init instanceof Headers) { this._list = [...init._list]; return; }
      if (typeof init[Symbol.iterator] === "function") {
        for (const pair of init) { const [name, value] = [...pair]; this.append(name, value); }
      } else for (const name of Object.keys(init)) this.append(name, init[name]);
    }
    static _of(list) { const headers = new Headers(); headers._list = list; return headers; }
    #name(name) {
      const quick = nk.name(name); // undefined: what has to be converted, or refused
      if (quick !== undefined) return quick;
      name = String(name);
      if (!NAME.test(name)) throw new TypeError(`Invalid header name: ${name}`);
      return name.toLowerCase();
    }
    #value(value) {
      const quick = nk.value(value);
      if (quick !== undefined) return quick;
      value = String(value).replace(/^[ \t\r\n]+|[ \t\r\n]+$/g, "");
      if (BAD_VALUE.test(value)) throw new TypeError("Invalid header value.");
      return value;
    }
    append(name, value) { const list = this._list; list[list.length] = this.#name(name); list[list.length] = this.#value(value); }
    get(name) {
      name = this.#name(name);
      let found = null;
      const list = this._list;
      for (let n = 0; n < list.length; n += 2) if (list[n] === name) found = found === null ? list[n + 1] : found + ", " + list[n + 1];
      return found;
    }
    getSetCookie() { return this.getAll("set-cookie"); }
    getAll(name) { const out = []; for (let n = 0; n < this._list.length; n += 2) if (this._list[n] === this.#name(name)) out.push(this._list[n + 1]); return out; }
    has(name) { name = this.#name(name); for (let n = 0; n < this._list.length; n += 2) if (this._list[n] === name) return true; return false; }
    set(name, value) { name = this.#name(name); value = this.#value(value); this.delete(name); this._list.push(name, value); }
    delete(name) {
      name = this.#name(name);
      if (!this.has(name)) return;
      const out = [];
      for (let n = 0; n < this._list.length; n += 2) if (this._list[n] !== name) out.push(this._list[n], this._list[n + 1]);
      this._list = out;
    }
    *entries() {
      const names = new Set();
      for (let n = 0; n < this._list.length; n += 2) names.add(this._list[n]);
      for (const name of [...names].sort())
        if (name === "set-cookie") for (const value of this.getAll(name)) yield [name, value];
        else yield [name, this.get(name)];
    }
    *keys() { for (const [name] of this.entries()) yield name; }
    *values() { for (const [, value] of this.entries()) yield value; }
    forEach(callback, self) { for (const [name, value] of this.entries()) callback.call(self, value, name, this); }
    [Symbol.iterator]() { return this.entries(); }
    get [Symbol.toStringTag]() { return "Headers"; }
  }

  class Blob {
    #bytes; #type;
    get _bytes() { return this.#bytes; }
    set _bytes(bytes) { this.#bytes = bytes; }
    constructor(parts = [], { type = "" } = {}) {
      const list = [];
      let size = 0;
      for (const part of parts) {
        const bytes = part instanceof Blob ? part._bytes : bytesOf(part) ?? nk.encode(String(part));
        list.push(bytes);
        size += bytes.byteLength;
      }
      this._bytes = concat(list, size);
      this.#type = /^[\x20-\x7e]*$/.test(type) ? String(type).toLowerCase() : "";
    }
    get size() { return this._bytes.length; }
    get type() { return this.#type; }
    slice(from, to, type) { return new Blob([this._bytes.slice(from, to)], { type }); }
    async arrayBuffer() { return this._bytes.slice().buffer; }
    async bytes() { return this._bytes.slice(); }
    async text() { return nk.decode(this._bytes); }
    stream() { const bytes = this._bytes; return new ReadableStream({ start(c) { if (bytes.length) c.enqueue(bytes); c.close(); } }); }
    get [Symbol.toStringTag]() { return "Blob"; }
  }
  class File extends Blob {
    #name; #modified;
    constructor(parts, name, options = {}) { super(parts, options); this.#name = String(name); this.#modified = options.lastModified ?? 0; }
    static _of(bytes, name, options) { const file = new File([], name, options); file._bytes = bytes; return file; } // without a copy
    get name() { return this.#name; }
    get lastModified() { return this.#modified; }
    get [Symbol.toStringTag]() { return "File"; }
  }
  class FormData {
    #list = [];
    append(name, value, file) { this.#list.push([String(name), this.#value(value, file)]); }
    #value(value, file) { return value instanceof Blob ? (value instanceof File && file === undefined ? value : new File([value], file ?? "blob", { type: value.type })) : String(value); }
    delete(name) { this.#list = this.#list.filter((p) => p[0] !== String(name)); }
    get(name) { return this.#list.find((p) => p[0] === String(name))?.[1] ?? null; }
    getAll(name) { return this.#list.filter((p) => p[0] === String(name)).map((p) => p[1]); }
    has(name) { return this.#list.some((p) => p[0] === String(name)); }
    set(name, value, file) {
      const at = this.#list.findIndex((p) => p[0] === String(name));
      if (at < 0) return this.append(name, value, file);
      this.#list[at][1] = this.#value(value, file);
      this.#list = this.#list.filter((p, n) => n <= at || p[0] !== String(name));
    }
    forEach(callback, self) { for (const [name, value] of this.#list) callback.call(self, value, name, this); }
    *entries() { for (const [name, value] of this.#list) yield [name, value]; }
    *keys() { for (const p of this.#list) yield p[0]; }
    *values() { for (const p of this.#list) yield p[1]; }
    [Symbol.iterator]() { return this.entries(); }
    get [Symbol.toStringTag]() { return "FormData"; }
  }
  const writeForm = (form) => {
    const boundary = "----nunatak" + Array.from({ length: 16 }, () => Math.floor(Math.random() * 16).toString(16)).join("");
    const quote = (text) => text.replace(/\r?\n|\r/g, "%0D%0A").replace(/"/g, "%22");
    const parts = [];
    for (const [name, value] of form) {
      const file = value instanceof Blob;
      parts.push(`--${boundary}\r\nContent-Disposition: form-data; name="${quote(name)}"${file ? `; filename="${quote(value.name)}"\r\nContent-Type: ${value.type || "application/octet-stream"}` : ""}\r\n\r\n`, value, "\r\n");
    }
    return [new Blob([...parts, `--${boundary}--\r\n`])._bytes, `multipart/form-data; boundary=${boundary}`];
  };
  const readForm = (bytes, type) => {
    const form = new FormData();
    if (/^application\/x-www-form-urlencoded/i.test(type)) {
      for (const [name, value] of new URLSearchParams(nk.decode(bytes))) form.append(name, value);
      return form;
    }
    const boundary = /^multipart\/form-data.*boundary=(?:"([^"]+)"|([^;]+))/i.exec(type);
    if (!boundary) throw new TypeError("Unrecognized Content-Type header value: a form expected");
    const mark = nk.encode(`--${boundary[1] ?? boundary[2]}`);
    const find = (what, from) => nk.find(bytes, what, from);
    const blank = nk.encode("\r\n\r\n");
    for (let at = find(mark, 0); at >= 0; ) {
      const start = at + mark.length + 2, next = find(mark, start), end = find(blank, start);
      if (next < 0 || end < 0) break;
      const head = nk.decode(bytes.subarray(start, end)), data = bytes.subarray(end + 4, next - 2); // nobody else has these bytes
      const name = /name="([^"]*)"/i.exec(head)?.[1] ?? "", file = /filename="([^"]*)"/i.exec(head)?.[1];
      form.append(name, file === undefined ? nk.decode(data) : File._of(data, file, { type: /content-type:\s*([^\r\n]+)/i.exec(head)?.[1] ?? "" }));
      at = next;
    }
    return form;
  };

  const WHOLE = 3; // of a machine's memory, as a divisor: a body that is read whole is there twice for a moment
  const PLACED = 1 << 16; // bytes from which on a body's place is made before it comes

  // What Request and Response share. `_raw`: null, a string, a Uint8Array, or a ReadableStream of Uint8Arrays.
  class Body {
    // Not properties of their own: who copies or lists a Request or a Response finds what the platform has there.
    #raw = null; #used = false; #stream = null;
    get _raw() { return this.#raw; }
    set _raw(raw) { this.#raw = raw; }
    get _used() { return this.#used; }
    set _used(used) { this.#used = used; }
    get _stream() { return this.#stream; }
    set _stream(stream) { this.#stream = stream; }
    _take(body) { // what the constructor was given; the content type that follows from it
      if (body === null || body === undefined) return null;
      if (typeof body === "string") { this.#raw = body; return "text/plain;charset=UTF-8"; }
      const bytes = bytesOf(body);
      if (bytes) { this.#raw = bytes.slice(); return null; }
      if (body instanceof ReadableStream) {
        if (body.locked || body._disturbed) throw new TypeError("This ReadableStream is disturbed (has already been read from), and cannot be used as a body.");
        this.#raw = body;
        return null;
      }
      if (body instanceof URLSearchParams) { this.#raw = body.toString(); return "application/x-www-form-urlencoded;charset=UTF-8"; }
      if (body instanceof Blob) { this.#raw = body._bytes; return body.type || null; }
      if (body instanceof FormData) { const [data, type] = writeForm(body); this.#raw = data; return type; }
      this.#raw = String(body);
      return "text/plain;charset=UTF-8";
    }
    get body() {
      if (this.#raw === null) return null;
      if (this.#raw instanceof ReadableStream) return this.#raw;
      if (!this.#stream) {
        const raw = this.#raw;
        this.#stream = new ReadableStream({ start(c) { const bytes = typeof raw === "string" ? nk.encode(raw) : raw; if (bytes.length) c.enqueue(bytes); c.close(); } });
      }
      return this.#stream;
    }
    get bodyUsed() {
      if (this.#used || (typeof this.#raw === "string" && !this.#stream)) return this.#used;
      return (this.#stream ?? (this.#raw instanceof ReadableStream ? this.#raw : null))?._disturbed === true;
    }
    async #all() { // string or Uint8Array
      if (this.bodyUsed) throw new TypeError("Body has already been used. It can only be used once. Use tee() first if you need to read it twice.");
      this.#used = true;
      const raw = this.#raw;
      if (raw === null) return "";
      if (!(raw instanceof ReadableStream)) return raw;
      const reader = raw.getReader(), most = Math.floor(nk.memory() / WHOLE);
      const said = Number(this.headers.get("content-length")), place = said > PLACED && said <= most ? new Uint8Array(said) : null;
      let parts = [], size = 0; // where its size is known, it is put in its place as it comes: it is never there twice
      for (;;) {
        const { value, done } = await reader.read();
        if (done) break;
        const bytes = typeof value === "string" ? nk.encode(value) : bytesOf(value);
        if (!bytes) throw new TypeError("This stream's chunks are no bytes");
        if (place !== null && size + bytes.byteLength <= said) place.set(bytes, size);
        else parts.push(bytes);
        size += bytes.byteLength;
        if (size > most) throw new RangeError(`a body of at most ${most} bytes can be read whole in a machine of ${Math.ceil(nk.memory() / (1 << 21)) * 2} MiB: read it as a stream, or build with --memory`);
      }
      if (place !== null) return parts.length ? concat([place, ...parts], size) : size === said ? place : place.subarray(0, size);
      return parts.length === 1 ? parts[0] : concat(parts, size);
    }
    async text() { const all = await this.#all(); const text = typeof all === "string" ? all : nk.decode(all); return text.charCodeAt(0) === 0xfeff ? text.slice(1) : text; }
    async json() { return JSON.parse(await this.text()); }
    async bytes() { const all = await this.#all(); return typeof all === "string" ? nk.encode(all) : all.length > PLACED && this.#raw instanceof ReadableStream ? all : all.slice(); }
    async arrayBuffer() { return (await this.bytes()).buffer; }
    async blob() { return new Blob([await this.bytes()], { type: this.headers.get("content-type") ?? "" }); }
    async formData() { const type = this.headers.get("content-type") ?? "", all = await this.#all(); return readForm(typeof all === "string" ? nk.encode(all) : all, type); }
    _clone(to) {
      if (this.bodyUsed) throw new TypeError("Cannot clone a body that has been used.");
      const stream = this.#stream ?? (this.#raw instanceof ReadableStream ? this.#raw : null);
      if (stream) { const [a, b] = stream.tee(); this.#raw = a; this.#stream = null; to._raw = b; } else to._raw = this.#raw;
      return to;
    }
  }

  const METHODS = ["DELETE", "GET", "HEAD", "OPTIONS", "POST", "PUT"];
  class Request extends Body {
    #about; #headers = null; #options = null; // [method, URL], from the gate what nk.about() says; what few requests have
    constructor(input, init = {}) {
      super();
      if (input === share.incoming) { this.#about = init; return; }
      if (input instanceof Request) {
        this.#about = [input.method, input.url]; this.#headers = new Headers(input.headers);
        if (input.#options || input.#incoming) this.#options = { signal: input.signal, redirect: input.redirect, cf: undefined };
        if (init.body === undefined && input._raw !== null) {
          if (input.bodyUsed) throw new TypeError("Cannot construct a Request with a Request object that has already been used.");
          this._raw = input._stream ?? input._raw;
          if (this._raw instanceof ReadableStream) input._used = true;
        }
      } else this.#about = ["GET", new URL(String(input)).href];
      if (init.method !== undefined) {
        const method = String(init.method), upper = method.toUpperCase();
        if (!NAME.test(method) || upper === "CONNECT" || upper === "TRACE") throw new TypeError(`Invalid HTTP method string: ${method}`);
        this.#about[0] = METHODS.includes(upper) ? upper : method;
      }
      if (init.headers !== undefined) this.#headers = new Headers(init.headers);
      this.#headers ??= new Headers();
      if (init.signal) Request.#more(this).signal = init.signal;
      if (init.redirect !== undefined) Request.#more(this).redirect = init.redirect;
      if (init.cf !== undefined) Request.#more(this).cf = init.cf;
      if (init.body !== undefined && init.body !== null) {
        if (this.method === "GET" || this.method === "HEAD") throw new TypeError("Request with a GET or HEAD method cannot have a body.");
        const type = this._take(init.body);
        if (type && !this.#headers.has("content-type")) this.#headers.append("content-type", type);
      }
    }
    static #more(request) { return (request.#options ??= { signal: null, redirect: request.#incoming ? "manual" : "follow", cf: undefined }); }
    get #incoming() { return this.#about.length > 2; }
    static _left(request, reason) { // the client of one from the gate
      const options = Request.#more(request);
      options.signal ? options.signal._abort(reason) : (options.signal = AbortSignal.abort(reason));
    }
    get method() { return this.#about[0]; }
    get url() { return this.#about[1]; }
    get headers() { return (this.#headers ??= Headers._of(nk.fields(this.#about[2]))); }
    get signal() { return (Request.#more(this).signal ??= new AbortSignal()); }
    get redirect() { return this.#options ? this.#options.redirect : this.#incoming ? "manual" : "follow"; } // redirects of what a client asks are its own
    get cf() { return this.#options?.cf; }
    get integrity() { return ""; }
    get keepalive() { return false; }
    get cache() { return undefined; }
    clone() { return this._clone(new Request(this.url, { method: this.method, headers: this.headers, signal: this.signal, redirect: this.redirect })); }
    get [Symbol.toStringTag]() { return "Request"; }
  }

  const TEXTS = { 200: "OK", 201: "Created", 202: "Accepted", 204: "No Content", 206: "Partial Content", 301: "Moved Permanently", 302: "Found", 303: "See Other", 304: "Not Modified", 307: "Temporary Redirect", 308: "Permanent Redirect", 400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed", 409: "Conflict", 410: "Gone", 418: "I'm a teapot", 422: "Unprocessable Entity", 429: "Too Many Requests", 500: "Internal Server Error", 501: "Not Implemented", 502: "Bad Gateway", 503: "Service Unavailable", 504: "Gateway Timeout" };
  class Response extends Body {
    #status = 200; #text; #headers; #socket = null; #fetched = null; // {url, redirected}, of what fetch() brought
    constructor(body = null, init = undefined) {
      super();
      if (init instanceof Response) init = { status: init.status, statusText: init.statusText, headers: init.headers };
      if (init !== undefined && init !== null) {
        if (init.status !== undefined) {
          const status = Number(init.status);
          if (!(status >= 200 && status <= 599) && (status !== 101 || (init.webSocket ?? null) === null)) throw new RangeError("Responses may only be constructed with status codes in the range 200 to 599, inclusive.");
          this.#status = Math.trunc(status);
        }
        if (init.statusText !== undefined) this.#text = String(init.statusText);
        if (init.headers !== undefined) this.#headers = new Headers(init.headers);
        this.#socket = init.webSocket ?? null;
        if (this.#socket !== null && this.#status !== 101) throw new RangeError("Responses with a WebSocket must have status code 101.");
      }
      this.#headers ??= new Headers();
      if (body !== null && body !== undefined) Response.#fill(this, body, null);
    }
    static #fill(response, body, kind) { // kind: the content type in place of the one that follows from the body
      const status = response.#status;
      if (status === 101 || status === 204 || status === 205 || status === 304) throw new TypeError(`Response with null body status (101, 204, 205, or 304) cannot have a body.`);
      const type = response._take(body), list = response.#headers._list;
      if (type && (list.length === 0 || !response.#headers.has("content-type"))) { list[list.length] = "content-type"; list[list.length] = kind ?? type; }
    }
    static json(value, init) {
      const text = JSON.stringify(value);
      if (text === undefined) throw new TypeError("Value is not JSON serializable");
      const response = new Response(null, init);
      Response.#fill(response, text, "application/json");
      return response;
    }
    static redirect(url, status = 302) {
      if (![301, 302, 303, 307, 308].includes(status)) throw new RangeError("Invalid redirect status code.");
      return new Response(null, { status, headers: { location: new URL(url).href } });
    }
    static error() { const response = new Response(); response.#status = 0; return response; }
    static _of(status, list, url, redirected) {
      const response = new Response();
      response.#status = status; response.#headers = Headers._of(list); response.#fetched = { url, redirected };
      return response;
    }
    get status() { return this.#status; }
    get ok() { return this.#status >= 200 && this.#status < 300; }
    get statusText() { return this.#text ?? TEXTS[this.#status] ?? ""; }
    get headers() { return this.#headers; }
    get url() { return this.#fetched ? this.#fetched.url : ""; }
    get redirected() { return this.#fetched ? this.#fetched.redirected : false; }
    get type() { return this.#status === 0 ? "error" : "default"; }
    get webSocket() { return this.#socket; }
    clone() { const to = this._clone(new Response(null, { status: this.#status, statusText: this.#text, headers: this.#headers })); to.#fetched = this.#fetched && { url: this.url, redirected: false }; return to; }
    get [Symbol.toStringTag]() { return "Response"; }
  }

  class FetchEvent extends Event {}
  Object.assign(share, { Headers, Request, Response });
  expose({ Headers, Request, Response, Blob, File, FormData, FetchEvent });
})();
