// Headers (the WHATWG Fetch Standard, section 2.2).
"use strict";
(() => {
  const share = globalThis.__share, { nk } = share;
  const NAME = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/, BAD_VALUE = /[\0\r\n]/, BLANKS = /^[ \t\r\n]+|[ \t\r\n]+$/g;

  const bytes = (value, what = "Headers") => {
    value = `${value}`;
    for (let n = 0; n < value.length; n++) if (value.charCodeAt(n) > 255) throw new TypeError(`${what}: characters up to U+00FF expected`);
    return value;
  };
  const nameOf = (name) => {
    const quick = nk.name(name); // undefined: what has to be converted, or refused
    if (quick !== undefined) return quick;
    name = bytes(name, "Invalid header name");
    if (!NAME.test(name)) throw new TypeError(`Invalid header name: ${name}`);
    return name.toLowerCase();
  };
  const valueOf = (value) => {
    const quick = nk.value(value);
    if (quick !== undefined) return quick;
    value = bytes(value, "Invalid header value").replace(BLANKS, "");
    if (BAD_VALUE.test(value)) throw new TypeError("Invalid header value.");
    return value;
  };

  class Headers {
    #list = []; #fixed = false; #pairs = null; // name in lower case, value, ...; what iterators see of it, until it changes
    constructor(init = undefined) { if (init !== undefined) this.#fill(init); }
    #fill(init) {
      if (typeof init === "object" && init !== null && #list in init && init[Symbol.iterator] === entries) { this.#list = init.#list.slice(); return; }
      for (const [name, value] of share.pairs(init, "Headers", (one) => bytes(one))) this.append(name, value);
    }
    static {
      share.listOf = (headers) => headers.#list;
      share.headersOf = (list, fixed) => {
        const headers = new Headers();
        headers.#list = list;
        headers.#fixed = fixed;
        return headers;
      };
      share.fixHeaders = (headers) => { headers.#fixed = true; };
      share.fieldOf = (headers, name) => headers.#get(name); // a name in lower case
    }
    #change() {
      if (this.#fixed) throw new TypeError("Can't modify immutable headers.");
      this.#pairs = null;
    }
    append(name, value) {
      name = nameOf(name);
      value = valueOf(value);
      this.#change();
      const list = this.#list;
      list[list.length] = name;
      list[list.length] = value;
    }
    delete(name) {
      name = nameOf(name);
      this.#change();
      const list = this.#list, out = [];
      for (let n = 0; n < list.length; n += 2) if (list[n] !== name) { out[out.length] = list[n]; out[out.length] = list[n + 1]; }
      this.#list = out;
    }
    #get(name) {
      let found = null;
      const list = this.#list;
      for (let n = 0; n < list.length; n += 2) if (list[n] === name) found = found === null ? list[n + 1] : found + ", " + list[n + 1];
      return found;
    }
    get(name) { return this.#get(nameOf(name)); }
    getAll(name) { // workerd has it too, for set-cookie
      name = nameOf(name);
      const out = [];
      for (let n = 0; n < this.#list.length; n += 2) if (this.#list[n] === name) out.push(this.#list[n + 1]);
      return out;
    }
    getSetCookie() { return this.getAll("set-cookie"); }
    has(name) {
      name = nameOf(name);
      for (let n = 0; n < this.#list.length; n += 2) if (this.#list[n] === name) return true;
      return false;
    }
    set(name, value) {
      name = nameOf(name);
      value = valueOf(value);
      this.#change();
      const list = this.#list, out = [];
      let found = false;
      for (let n = 0; n < list.length; n += 2) {
        if (list[n] === name && found) continue;
        out[out.length] = list[n];
        out[out.length] = list[n] === name ? value : list[n + 1];
        found ||= list[n] === name;
      }
      if (!found) { out[out.length] = name; out[out.length] = value; }
      this.#list = out;
    }
    static {
      share.iterable(Headers, "Headers", (headers) => { // sorted and combined
        if (headers.#pairs !== null) return headers.#pairs;
        const list = headers.#list, names = new Set(), pairs = [];
        for (let n = 0; n < list.length; n += 2) names.add(list[n]);
        for (const name of [...names].sort()) {
          if (name !== "set-cookie") pairs.push([name, headers.#get(name)]);
          else for (const value of headers.getSetCookie()) pairs.push([name, value]);
        }
        return (headers.#pairs = pairs);
      });
    }
  }
  const { entries } = Headers.prototype;
  share.interfaces({ Headers });
  share.Headers = Headers;
})();
