// URL and URLSearchParams (the WHATWG URL Standard): plain ones are known in parts (url.c), all others are parsed by the
// standard's state machine, which lazy/url.js brings.
"use strict";
(() => {
  const share = globalThis.__share, { nk, text } = share;

  const hex = (byte) => "%" + (byte < 16 ? "0" : "") + byte.toString(16).toUpperCase();
  const decode = (from) => {
    if (!from.includes("%")) return from;
    const bytes = nk.encode(from), out = new Uint8Array(bytes.length);
    const digit = (byte) => (byte >= 48 && byte <= 57 ? byte - 48 : byte >= 65 && byte <= 70 ? byte - 55 : byte >= 97 && byte <= 102 ? byte - 87 : 16);
    let size = 0;
    for (let n = 0; n < bytes.length; n++) {
      const high = bytes[n] === 37 && n + 2 < bytes.length ? digit(bytes[n + 1]) : 16, low = high < 16 ? digit(bytes[n + 2]) : 16;
      if (low < 16) { out[size++] = high * 16 + low; n += 2; } else out[size++] = bytes[n];
    }
    return nk.decode(out.subarray(0, size));
  };
  const formSign = /[^*\-.0-9A-Z_a-z]/;
  const formEncode = (from) => {
    if (!formSign.test(from)) return from;
    let out = "";
    for (const sign of from) {
      if (sign === " ") out += "+";
      else if (!formSign.test(sign)) out += sign;
      else { const bytes = nk.encode(sign); for (let n = 0; n < bytes.length; n++) out += hex(bytes[n]); }
    }
    return out;
  };
  const formDecode = (from) => decode(from.includes("+") ? from.replaceAll("+", " ") : from);

  class URLSearchParams {
    #list = []; #changed = null;
    constructor(init = "") {
      if (init === "") return;
      if ((typeof init === "object" && init !== null) || typeof init === "function") this.#list = share.pairs(init, "URLSearchParams", text);
      else { init = text(init); this.#read(init[0] === "?" ? init.slice(1) : init); }
    }
    #read(query) {
      this.#list = [];
      for (const part of query.split("&")) {
        if (part === "") continue;
        const at = part.indexOf("=");
        const name = at < 0 ? part : part.slice(0, at), value = at < 0 ? "" : part.slice(at + 1);
        this.#list[this.#list.length] = [formDecode(name), formDecode(value)];
      }
    }
    static {
      share.searchParams = (query, changed) => {
        const params = new URLSearchParams();
        if (query !== "") params.#read(query);
        params.#changed = changed;
        return params;
      };
      share.readParams = (params, query) => params.#read(query);
      share.iterable(URLSearchParams, "URLSearchParams", (params) => params.#list);
    }
    #tell() { this.#changed?.(this.toString()); }
    get size() { return this.#list.length; }
    append(name, value) { this.#list.push([text(name), text(value)]); this.#tell(); }
    delete(name, value = undefined) {
      name = text(name);
      if (value !== undefined) value = text(value);
      this.#list = this.#list.filter((pair) => pair[0] !== name || (value !== undefined && pair[1] !== value));
      this.#tell();
    }
    get(name) { name = text(name); for (let n = 0; n < this.#list.length; n++) if (this.#list[n][0] === name) return this.#list[n][1]; return null; }
    getAll(name) { name = text(name); return this.#list.filter((pair) => pair[0] === name).map((pair) => pair[1]); }
    has(name, value = undefined) {
      name = text(name);
      if (value !== undefined) value = text(value);
      return this.#list.some((pair) => pair[0] === name && (value === undefined || pair[1] === value));
    }
    set(name, value) {
      name = text(name);
      value = text(value);
      const at = this.#list.findIndex((pair) => pair[0] === name);
      if (at < 0) this.#list.push([name, value]);
      else { this.#list[at][1] = value; this.#list = this.#list.filter((pair, n) => n <= at || pair[0] !== name); }
      this.#tell();
    }
    sort() { this.#list.sort((a, b) => (a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : 0)); this.#tell(); }
    toString() { return this.#list.map((pair) => `${formEncode(pair[0])}=${formEncode(pair[1])}`).join("&"); }
  }

  // A plain URL is [size of its scheme, text, anything, ends of the host's name, of the host and of the path]; so is what
  // `nk.about` says of a request, whose own URL is `share.request`, but for its first entry.
  const SCHEME = 0, TEXT = 1, NAME_END = 3, HOST_END = 4, PATH_END = 5, HTTP = "http://".length, HTTPS = "https://".length;
  share.request = null;

  class URL {
    #of = null; #u = null; #params = null; // where a plain one's parts end; the record, once there is one
    constructor(url, base = undefined) {
      const { request } = share;
      if (base === undefined && request !== null && url === request[TEXT] && request[NAME_END] > 0) { this.#of = request; return; }
      url = text(url);
      const from = base === undefined ? null : typeof base === "object" && base !== null && #u in base ? base : new URL(base);
      this.#of = nk.plainUrl(from !== null && from.#u === null && url[0] === "/" && url[1] !== "/" ? from.origin + url : url) ?? null;
      if (this.#of === null) this.#u = URL.#parse(url, from === null ? null : URL.#record(from));
    }
    static #parse(url, base) {
      const record = share.part("url").basicURLParse(url, { baseURL: base });
      if (record === null) throw new TypeError(`Invalid URL string: ${url}`);
      return record;
    }
    static #record(url) { return (url.#u ??= URL.#parse(url.#of[TEXT], null)); }
    static #change(url, value, state) { share.part("url").basicURLParse(text(value), { url: URL.#record(url), stateOverride: state }); }
    static canParse(url, base = undefined) { share.need(arguments.length, 1, "canParse()"); return URL.#try(text(url), base === undefined ? base : text(base)) !== null; }
    static parse(url, base = undefined) { share.need(arguments.length, 1, "parse()"); return URL.#try(text(url), base === undefined ? base : text(base)); }
    static #try(url, base) { try { return new URL(url, base); } catch { return null; } }
    get href() { return this.#u ? share.part("url").serializeURL(this.#u) : this.#of[TEXT]; }
    set href(value) {
      this.#u = URL.#parse(text(value), null);
      if (this.#params !== null) share.readParams(this.#params, this.#u.query ?? "");
    }
    get origin() { return this.#u ? share.part("url").serializeURLOrigin(this.#u) : this.#of[TEXT].slice(0, this.#of[HOST_END]); }
    static #start(url) { return url.#of[SCHEME] === HTTPS ? HTTPS : HTTP; }
    get protocol() { return this.#u ? this.#u.scheme + ":" : URL.#start(this) === HTTPS ? "https:" : "http:"; }
    set protocol(value) { URL.#change(this, text(value) + ":", "scheme start"); }
    static #owner(url) { const u = URL.#record(url); return share.part("url").cannotHaveAUsernamePasswordPort(u) ? null : u; }
    get username() { return this.#u ? this.#u.username : ""; }
    set username(value) { value = text(value); const u = URL.#owner(this); if (u !== null) share.part("url").setTheUsername(u, value); }
    get password() { return this.#u ? this.#u.password : ""; }
    set password(value) { value = text(value); const u = URL.#owner(this); if (u !== null) share.part("url").setThePassword(u, value); }
    static #opaque(url) { return typeof URL.#record(url).path === "string"; }
    static #host(u) { return u.host === null ? "" : share.part("url").serializeHost(u.host); }
    get host() {
      const u = this.#u;
      return u ? URL.#host(u) + (u.port === null ? "" : `:${u.port}`) : this.#of[TEXT].slice(URL.#start(this), this.#of[HOST_END]);
    }
    set host(value) { value = text(value); if (!URL.#opaque(this)) URL.#change(this, value, "host"); }
    get hostname() { return this.#u ? URL.#host(this.#u) : this.#of[TEXT].slice(URL.#start(this), this.#of[NAME_END]); }
    set hostname(value) { value = text(value); if (!URL.#opaque(this)) URL.#change(this, value, "hostname"); }
    get port() { return this.#u ? (this.#u.port === null ? "" : String(this.#u.port)) : this.#of[TEXT].slice(this.#of[NAME_END] + 1, this.#of[HOST_END]); }
    set port(value) {
      value = text(value);
      const u = URL.#owner(this);
      if (u === null) return;
      if (value === "") u.port = null;
      else URL.#change(this, value, "port");
    }
    get pathname() { return this.#u ? share.part("url").serializePath(this.#u) : this.#of[TEXT].slice(this.#of[HOST_END], this.#of[PATH_END]); }
    set pathname(value) {
      value = text(value);
      if (URL.#opaque(this)) return;
      this.#u.path = [];
      URL.#change(this, value, "path start");
    }
    static #query(url) { return url.#u ? url.#u.query ?? "" : url.#of[TEXT].slice(url.#of[PATH_END] + 1); }
    get search() { const query = URL.#query(this); return query ? "?" + query : ""; }
    set search(value) {
      value = text(value);
      const u = URL.#record(this), query = value[0] === "?" ? value.slice(1) : value;
      u.query = value === "" ? null : "";
      if (value !== "") URL.#change(this, query, "query");
      if (this.#params !== null) share.readParams(this.#params, query);
    }
    get hash() { return this.#u?.fragment ? "#" + this.#u.fragment : ""; }
    set hash(value) {
      value = text(value);
      const u = URL.#record(this);
      u.fragment = value === "" ? null : "";
      if (value !== "") URL.#change(this, value[0] === "#" ? value.slice(1) : value, "fragment");
    }
    get searchParams() {
      return (this.#params ??= share.searchParams(URL.#query(this), (query) => { URL.#record(this).query = query === "" ? null : query; }));
    }
    toString() { return this.href; }
    toJSON() { return this.href; }
  }
  share.interfaces({ URL, URLSearchParams });
  share.lazyGlobal("URLPattern", "urlpattern");
})();
