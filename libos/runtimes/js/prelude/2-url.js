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
  // A request's own URL, which nearly every worker parses, is mostly plain: then its parts are known.
  const PLAIN = /^\/[A-Za-z0-9_~/-]*(\?[A-Za-z0-9_~/=&+%.-]*)?$/, PLAIN_HOST = /^[a-z0-9.-]*[a-z](:[0-9]+)?$/;
  const known = (request) => {
    const { host, target } = request;
    if (!PLAIN.test(target) || !PLAIN_HOST.test(host)) return null;
    const mark = target.indexOf("?"), colon = host.indexOf(":"), port = colon < 0 ? "" : host.slice(colon + 1);
    return {
      scheme: "http:", user: "", password: "", host: colon < 0 ? host : host.slice(0, colon), port: port === "80" ? "" : port,
      path: (mark < 0 ? target.slice(1) : target.slice(1, mark)).split("/"), query: mark < 0 ? null : target.slice(mark + 1), fragment: null,
    };
  };
  share.request = { text: null, host: "", target: "" };

  const parse = (input, base) => {
    if (base === null && input === share.request.text) {
      const found = known(share.request);
      if (found) return found;
    }
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

  class URLSearchParams {
    #list = []; #changed = null;
    constructor(init = "") {
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
        this.#list.push([decode(name.replace(/\+/g, " ")), decode(value.replace(/\+/g, " "))]);
      }
    }
    _watch(changed) { this.#changed = changed; return this; }
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

  class URL {
    #u; #params = null;
    constructor(text, base) {
      const start = base === undefined ? null : base instanceof URL ? base.#u : parse(String(base), null);
      this.#u = parse(String(text), start);
    }
    static canParse(text, base) { try { new URL(text, base); return true; } catch { return false; } }
    static parse(text, base) { try { return new URL(text, base); } catch { return null; } }
    get href() { return write(this.#u); }
    set href(text) { this.#u = parse(String(text), null); this.#params?._read(this.#u.query ?? ""); }
    get origin() { return this.#u.scheme in PORTS && this.#u.scheme !== "file:" ? `${this.#u.scheme}//${hostOf(this.#u)}` : "null"; }
    get protocol() { return this.#u.scheme; }
    set protocol(text) { const s = /^([a-zA-Z][a-zA-Z0-9+.-]*)/.exec(text); if (s && (s[1].toLowerCase() + ":" in PORTS) === (this.#u.scheme in PORTS)) { this.#u.scheme = s[1].toLowerCase() + ":"; if (this.#u.port === PORTS[this.#u.scheme]) this.#u.port = ""; } }
    get username() { return this.#u.user; }
    set username(text) { if (this.#u.host) this.#u.user = inUser(String(text)); }
    get password() { return this.#u.password; }
    set password(text) { if (this.#u.host) this.#u.password = inUser(String(text)); }
    get host() { return hostOf(this.#u); }
    set host(text) { const m = /^([^:/?#]*|\[[^\]]*\])(?::([0-9]*))?/.exec(String(text)); try { this.#u.host = parseHost(m[1], this.#u.scheme in PORTS); if (m[2]) this.port = m[2]; } catch {} }
    get hostname() { return this.#u.host ?? ""; }
    set hostname(text) { try { this.#u.host = parseHost(String(text), this.#u.scheme in PORTS); } catch {} }
    get port() { return this.#u.port; }
    set port(text) { const n = /^[0-9]*/.exec(String(text))[0]; if (n === "" ? String(text) === "" : +n <= 65535) this.#u.port = n === "" || String(+n) === PORTS[this.#u.scheme] ? "" : String(+n); }
    get pathname() { return pathOf(this.#u); }
    set pathname(text) { if (typeof this.#u.path !== "string") this.#u.path = normalPath("/" + String(text).replace(/^[/\\]/, ""), this.#u.scheme in PORTS); }
    get search() { return this.#u.query ? "?" + this.#u.query : ""; }
    set search(text) { const q = String(text).replace(/^\?/, ""); this.#u.query = String(text) === "" ? null : (this.#u.scheme in PORTS ? inSpecialQuery : inQuery)(q); this.#params?._read(this.#u.query ?? ""); }
    get hash() { return this.#u.fragment ? "#" + this.#u.fragment : ""; }
    set hash(text) { this.#u.fragment = String(text) === "" ? null : inFragment(String(text).replace(/^#/, "")); }
    get searchParams() { return (this.#params ??= new URLSearchParams(this.#u.query ?? "")._watch((text) => { this.#u.query = text === "" ? null : text; })); }
    toString() { return this.href; }
    toJSON() { return this.href; }
    get [Symbol.toStringTag]() { return "URL"; }
  }
  expose({ URL, URLSearchParams });
})();
