// URL and URLSearchParams (the WHATWG URL Standard). Host names are ASCII here: others come in punycode.
"use strict";
(() => {
  const share = globalThis.__share, { expose, nk } = share;
  const PORTS = { "http:": "80", "https:": "443", "ws:": "80", "wss:": "443", "ftp:": "21", "file:": "" };
  const hex = (byte) => "%" + (byte < 16 ? "0" : "") + byte.toString(16).toUpperCase();

  // Percent-encodes what is not ASCII, control characters, and the signs of the set.
  const encoder = (set) => {
    const pattern = new RegExp(`[\\x00-\\x1f\\x7f-\\uffff${set}]`);
    return (text) => {
      if (!pattern.test(text)) return text;
      let out = "";
      for (const sign of text.toWellFormed()) {
        if (!pattern.test(sign)) { out += sign; continue; }
        const bytes = nk.encode(sign);
        for (let n = 0; n < bytes.length; n++) out += hex(bytes[n]);
      }
      return out;
    };
  };
  const inFragment = encoder(' "<>`'), inQuery = encoder(' "#<>'), inSpecialQuery = encoder(" \"#<>'");
  const inPath = encoder(' "#<>?^`{}'), inUser = encoder(' "#<>?`{}/:;=@\\[\\\\\\]^|'), inOpaque = encoder("");
  const decode = (text) => {
    if (!text.includes("%")) return text;
    const bytes = nk.encode(text), out = new Uint8Array(bytes.length);
    let size = 0;
    for (let n = 0; n < bytes.length; n++) {
      const pair = bytes[n] === 37 && n + 2 < bytes.length ? String.fromCharCode(bytes[n + 1], bytes[n + 2]) : "";
      if (/^[0-9a-fA-F]{2}$/.test(pair)) { out[size++] = parseInt(pair, 16); n += 2; } else out[size++] = bytes[n];
    }
    return nk.decode(out.subarray(0, size));
  };

  const fail = (text) => { throw new TypeError(`Invalid URL string: ${text}`); };

  const ipv4 = (host) => {
    const parts = host.split(".");
    if (parts.length > 1 && parts.at(-1) === "") parts.pop();
    if (!/^(0[xX][0-9a-fA-F]*|[0-9]+)$/.test(parts.at(-1))) return null;
    if (parts.length > 4) fail(host);
    const numbers = parts.map((part) => {
      const radix = /^0[xX]/.test(part) ? 16 : part.length > 1 && part[0] === "0" ? 8 : 10;
      const digits = radix === 16 ? part.slice(2) : radix === 8 ? part.slice(1) : part;
      if (part === "" || !(radix === 16 ? /^[0-9a-fA-F]*$/ : radix === 8 ? /^[0-7]*$/ : /^[0-9]*$/).test(digits)) fail(host);
      return digits === "" ? 0 : parseInt(digits, radix);
    });
    const last = numbers.pop();
    if (numbers.some((n) => n > 255) || last >= 256 ** (4 - numbers.length)) fail(host);
    const value = numbers.reduce((sum, n, at) => sum + n * 256 ** (3 - at), last);
    return [24, 16, 8, 0].map((shift) => Math.floor(value / 2 ** shift) % 256).join(".");
  };

  const ipv6 = (text) => {
    let [left, right, ...more] = text.split("::");
    if (more.length) fail(text);
    const groups = (part) => {
      if (part === "" || part === undefined) return [];
      const list = part.split(":");
      const v4 = list.at(-1).includes(".") ? list.pop() : null;
      const out = list.map((g) => (/^[0-9a-fA-F]{1,4}$/.test(g) ? parseInt(g, 16) : fail(text)));
      if (v4 !== null) {
        const n = v4.split(".").map((d) => (/^(0|[1-9][0-9]{0,2})$/.test(d) && +d < 256 ? +d : fail(text)));
        if (n.length !== 4) fail(text);
        out.push(n[0] * 256 + n[1], n[2] * 256 + n[3]);
      }
      return out;
    };
    const a = groups(left), b = groups(right);
    const all = right === undefined ? a : [...a, ...Array(Math.max(0, 8 - a.length - b.length)).fill(0), ...b];
    if (all.length !== 8 || (right !== undefined && a.length + b.length > 7)) fail(text);
    let best = -1, size = 1;
    for (let at = 0; at < 8; at++) { let n = at; while (n < 8 && !all[n]) n++; if (n - at > size) { best = at; size = n - at; } }
    let out = "";
    for (let at = 0; at < 8; at++) {
      if (at === best) { out += at ? ":" : "::"; at += size - 1; continue; }
      out += all[at].toString(16) + (at < 7 ? ":" : "");
    }
    return `[${out}]`;
  };

  const parseHost = (text, special) => {
    if (text.startsWith("[")) return text.endsWith("]") ? ipv6(text.slice(1, -1)) : fail(text);
    if (!special) return /[\x00\t\n\r #/:<>?@[\\\]^|]/.test(text) ? fail(text) : inOpaque(text);
    const host = decode(text).toLowerCase();
    if (host === "" || /[\x00-\x20"#%/:<>?@[\\\]^`{|}\x7f]/.test(host) || !/^[\x00-\x7f]*$/.test(host)) fail(text);
    return ipv4(host) ?? host;
  };

  const isDot = (part) => /^(\.|%2e)$/i.test(part), isDots = (part) => /^(\.|%2e)(\.|%2e)$/i.test(part);
  const normalPath = (text, special, base) => {
    const parts = (special ? text.replace(/\\/g, "/") : text).split("/");
    const out = base ? base.slice(0, -1) : [];
    if (!base && parts[0] === "" && parts.length > 1) parts.shift();
    parts.forEach((part, at) => {
      const last = at === parts.length - 1;
      if (isDots(part)) { out.pop(); if (last) out.push(""); }
      else if (isDot(part)) { if (last) out.push(""); }
      else out.push(inPath(part));
    });
    return out;
  };

  // A record: {scheme, user, password, host (null: none), port, path (list, or string if opaque), query, fragment}
  const parse = (input, base) => {
    let text = input.replace(/^[\x00-\x20]+|[\x00-\x20]+$/g, "").replace(/[\t\n\r]/g, "");
    const url = { scheme: "", user: "", password: "", host: null, port: "", path: [], query: null, fragment: null };
    const cut = text.indexOf("#");
    if (cut >= 0) { url.fragment = inFragment(text.slice(cut + 1)); text = text.slice(0, cut); }
    const scheme = /^([a-zA-Z][a-zA-Z0-9+.-]*):/.exec(text);
    if (scheme) { url.scheme = scheme[1].toLowerCase() + ":"; text = text.slice(scheme[0].length); }
    else if (!base) fail(input);
    let special = url.scheme in PORTS;
    const relative = !scheme || (special && base && base.scheme === url.scheme && url.scheme !== "file:" && !/^[/\\]/.test(text));
    if (!scheme) {
      if (typeof base.path === "string") { if (text !== "" || cut < 0) fail(input); return { ...base, fragment: url.fragment }; }
      url.scheme = base.scheme;
      special = url.scheme in PORTS;
    }
    const mark = text.indexOf("?");
    let query = null;
    if (mark >= 0) { query = text.slice(mark + 1); text = text.slice(0, mark); }
    const slash = special ? /^[/\\]/ : /^\//, slashes = special ? /^[/\\]{2}/ : /^\/\//;
    if (slashes.test(text) || (special && scheme && !relative && url.scheme !== "file:")) {
      text = text.replace(special && url.scheme !== "file:" ? /^[/\\]*/ : /^../, "");
      const end = text.search(special ? /[/\\]/ : /\//);
      let authority = end < 0 ? text : text.slice(0, end);
      text = end < 0 ? "" : text.slice(end);
      const at = authority.lastIndexOf("@");
      if (at >= 0) {
        const colon = authority.indexOf(":");
        url.user = inUser(authority.slice(0, colon >= 0 && colon < at ? colon : at));
        url.password = colon >= 0 && colon < at ? inUser(authority.slice(colon + 1, at)) : "";
        authority = authority.slice(at + 1);
      }
      const port = /:([0-9]*)$/.exec(authority);
      if (port && !/\[[^\]]*$/.test(authority.slice(0, port.index))) {
        authority = authority.slice(0, port.index);
        if (port[1] !== "" && +port[1] > 65535) fail(input);
        url.port = port[1] === "" || String(+port[1]) === PORTS[url.scheme] ? "" : String(+port[1]);
      } else if (/:[^\]]*$/.test(authority) && !authority.startsWith("[")) fail(input);
      if (authority === "" && special && url.scheme !== "file:") fail(input);
      url.host = authority === "" ? "" : parseHost(authority, special);
      url.path = text === "" ? (special ? [""] : []) : normalPath(text, special);
    } else if (slash.test(text) || (scheme && special)) {
      if (base && base.scheme === url.scheme && special) { url.user = base.user; url.password = base.password; url.host = base.host; url.port = base.port; }
      else if (!scheme) { url.user = base.user; url.password = base.password; url.host = base.host; url.port = base.port; }
      else if (special) url.host = "";
      url.path = relative && !slash.test(text) ? relativePath(url, text, query, base, special) : normalPath(text, special);
      if (relative && text === "" && query === null) url.query = base.query;
    } else if (scheme) {
      url.path = inOpaque(text);
    } else {
      url.user = base.user; url.password = base.password; url.host = base.host; url.port = base.port;
      url.path = relativePath(url, text, query, base, special);
      if (text === "" && query === null) url.query = base.query;
    }
    if (query !== null) url.query = (special ? inSpecialQuery : inQuery)(query);
    return url;
  };
  const relativePath = (url, text, query, base, special) => (text === "" ? [...base.path] : normalPath(text, special, base.path));

  const pathOf = (u) => (typeof u.path === "string" ? u.path : u.path.length ? "/" + u.path.join("/") : "");
  const hostOf = (u) => (u.host ?? "") + (u.port !== "" ? ":" + u.port : "");
  const write = (u, fragment = true) => {
    let out = u.scheme;
    if (u.host !== null) {
      out += "//";
      if (u.user !== "" || u.password !== "") out += u.user + (u.password !== "" ? ":" + u.password : "") + "@";
      out += hostOf(u);
    } else if (typeof u.path !== "string" && u.path.length > 1 && u.path[0] === "") out += "/.";
    return out + pathOf(u) + (u.query !== null ? "?" + u.query : "") + (fragment && u.fragment !== null ? "#" + u.fragment : "");
  };

  const formSign = /[^*\-.0-9A-Z_a-z]/;
  const formEncode = (text) => {
    if (!formSign.test(text)) return text;
    let out = "";
    for (const sign of text.toWellFormed()) {
      if (sign === " ") out += "+";
      else if (!formSign.test(sign)) out += sign;
      else { const bytes = nk.encode(sign); for (let n = 0; n < bytes.length; n++) out += hex(bytes[n]); }
    }
    return out;
  };

  const formDecode = (text) => decode(text.includes("+") ? text.replace(/\+/g, " ") : text);

  class URLSearchParams {
    #list = []; #changed = null;
    constructor(init = "") {
      if (init === "") return;
      if (typeof init === "object" && init !== null) {
        if (typeof init[Symbol.iterator] === "function")
          for (const pair of init) {
            const [name, value, ...more] = [...pair];
            if (value === undefined || more.length) throw new TypeError("Each query pair must be an iterable [name, value] tuple");
            this.#list.push([String(name), String(value)]);
          }
        else for (const name of Object.keys(init)) this.#list.push([name, String(init[name])]);
      } else this._read(String(init).replace(/^\?/, ""));
    }
    _read(text) {
      this.#list = [];
      for (const part of text.split("&")) {
        if (part === "") continue;
        const at = part.indexOf("=");
        const name = at < 0 ? part : part.slice(0, at), value = at < 0 ? "" : part.slice(at + 1);
        this.#list.push([formDecode(name), formDecode(value)]);
      }
    }
    static _of(query, changed) {
      const params = new URLSearchParams();
      if (query !== "") params._read(query);
      params.#changed = changed;
      return params;
    }
    #tell() { this.#changed?.(this.toString()); }
    get size() { return this.#list.length; }
    append(name, value) { this.#list.push([String(name), String(value)]); this.#tell(); }
    delete(name, value) { this.#list = this.#list.filter((p) => p[0] !== String(name) || (value !== undefined && p[1] !== String(value))); this.#tell(); }
    get(name) { for (let n = 0; n < this.#list.length; n++) if (this.#list[n][0] === String(name)) return this.#list[n][1]; return null; }
    getAll(name) { return this.#list.filter((p) => p[0] === String(name)).map((p) => p[1]); }
    has(name, value) { return this.#list.some((p) => p[0] === String(name) && (value === undefined || p[1] === String(value))); }
    set(name, value) {
      const at = this.#list.findIndex((p) => p[0] === String(name));
      if (at < 0) this.#list.push([String(name), String(value)]);
      else { this.#list[at][1] = String(value); this.#list = this.#list.filter((p, n) => n <= at || p[0] !== String(name)); }
      this.#tell();
    }
    sort() { this.#list.sort((a, b) => (a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : 0)); this.#tell(); }
    forEach(callback, self) { for (const [name, value] of this.#list) callback.call(self, value, name, this); }
    *entries() { for (const [name, value] of this.#list) yield [name, value]; }
    *keys() { for (const pair of this.#list) yield pair[0]; }
    *values() { for (const pair of this.#list) yield pair[1]; }
    [Symbol.iterator]() { return this.entries(); }
    toString() { return this.#list.map((p) => `${formEncode(p[0])}=${formEncode(p[1])}`).join("&"); }
    get [Symbol.toStringTag]() { return "URLSearchParams"; }
  }

  // A request's own URL is mostly written as it would be written back; then `nk.about` knows where its parts end, and it
  // is parsed only if somebody changes it. `share.request` is what `nk.about` said of the last request.
  const TEXT = 1, NAME_END = 3, HOST_END = 4, PATH_END = 5, NAME_START = "http://".length;
  share.request = null;

  class URL {
    #of = null; #u = null; #params = null; // offsets; the record once there is one
    constructor(text, base) {
      const { request } = share;
      if (base === undefined && request !== null && text === request[TEXT] && request[NAME_END] > 0) { this.#of = request; return; }
      const start = base === undefined ? null : base instanceof URL ? URL.#record(base) : parse(String(base), null);
      this.#u = parse(String(text), start);
    }
    static #record(url) { return (url.#u ??= parse(url.#of[TEXT], null)); }
    static canParse(text, base) { try { new URL(text, base); return true; } catch { return false; } }
    static parse(text, base) { try { return new URL(text, base); } catch { return null; } }
    get href() { return this.#u ? write(this.#u) : this.#of[TEXT]; }
    set href(text) { this.#u = parse(String(text), null); this.#params?._read(this.#u.query ?? ""); }
    get origin() {
      const u = this.#u;
      if (!u) return this.#of[TEXT].slice(0, this.#of[HOST_END]);
      return u.scheme in PORTS && u.scheme !== "file:" ? `${u.scheme}//${hostOf(u)}` : "null";
    }
    get protocol() { return this.#u ? this.#u.scheme : "http:"; }
    set protocol(text) {
      const u = URL.#record(this), s = /^([a-zA-Z][a-zA-Z0-9+.-]*)/.exec(text);
      if (s && (s[1].toLowerCase() + ":" in PORTS) === (u.scheme in PORTS)) { u.scheme = s[1].toLowerCase() + ":"; if (u.port === PORTS[u.scheme]) u.port = ""; }
    }
    get username() { return this.#u ? this.#u.user : ""; }
    set username(text) { const u = URL.#record(this); if (u.host) u.user = inUser(String(text)); }
    get password() { return this.#u ? this.#u.password : ""; }
    set password(text) { const u = URL.#record(this); if (u.host) u.password = inUser(String(text)); }
    get host() { return this.#u ? hostOf(this.#u) : this.#of[TEXT].slice(NAME_START, this.#of[HOST_END]); }
    set host(text) { const u = URL.#record(this), m = /^([^:/?#]*|\[[^\]]*\])(?::([0-9]*))?/.exec(String(text)); try { u.host = parseHost(m[1], u.scheme in PORTS); if (m[2]) this.port = m[2]; } catch {} }
    get hostname() { return this.#u ? this.#u.host ?? "" : this.#of[TEXT].slice(NAME_START, this.#of[NAME_END]); }
    set hostname(text) { const u = URL.#record(this); try { u.host = parseHost(String(text), u.scheme in PORTS); } catch {} }
    get port() { return this.#u ? this.#u.port : this.#of[TEXT].slice(this.#of[NAME_END] + 1, this.#of[HOST_END]); }
    set port(text) { const u = URL.#record(this), n = /^[0-9]*/.exec(String(text))[0]; if (n === "" ? String(text) === "" : +n <= 65535) u.port = n === "" || String(+n) === PORTS[u.scheme] ? "" : String(+n); }
    get pathname() { return this.#u ? pathOf(this.#u) : this.#of[TEXT].slice(this.#of[HOST_END], this.#of[PATH_END]); }
    set pathname(text) { const u = URL.#record(this); if (typeof u.path !== "string") u.path = normalPath("/" + String(text).replace(/^[/\\]/, ""), u.scheme in PORTS); }
    static #query(url) { return url.#u ? url.#u.query ?? "" : url.#of[TEXT].slice(url.#of[PATH_END] + 1); }
    get search() { const query = URL.#query(this); return query ? "?" + query : ""; }
    set search(text) { const u = URL.#record(this), q = String(text).replace(/^\?/, ""); u.query = String(text) === "" ? null : (u.scheme in PORTS ? inSpecialQuery : inQuery)(q); this.#params?._read(u.query ?? ""); }
    get hash() { return this.#u?.fragment ? "#" + this.#u.fragment : ""; }
    set hash(text) { URL.#record(this).fragment = String(text) === "" ? null : inFragment(String(text).replace(/^#/, "")); }
    get searchParams() { return (this.#params ??= URLSearchParams._of(URL.#query(this), (text) => { URL.#record(this).query = text === "" ? null : text; })); }
    toString() { return this.href; }
    toJSON() { return this.href; }
    get [Symbol.toStringTag]() { return "URL"; }
  }
  expose({ URL, URLSearchParams });
})();
