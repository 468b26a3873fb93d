// FormData, and forms as bodies: multipart/form-data (RFC 7578, and the Fetch Standard's "multipart/form-data parser") and
// application/x-www-form-urlencoded.
"use strict";
(() => {
  const share = globalThis.__share, { nk, text } = share;

  class FormData {
    #list = [];
    constructor(form = undefined) { if (form !== undefined) throw new TypeError("FormData: there are no form elements here"); }
    static { share.iterable(FormData, "FormData", (form) => form.#list); }
    #value(value, given, name) {
      if (!share.isBlob(value)) {
        if (given > 2) throw new TypeError("FormData: a Blob expected with a file's name");
        return text(value);
      }
      if (value instanceof File && given < 3) return value;
      return share.blobOf(share.blobBytes(value), value.type, new File([], given > 2 ? name : value instanceof File ? value.name : "blob", { lastModified: value.lastModified }));
    }
    append(name, value, filename = undefined) {
      share.need(arguments.length, 2, "append()");
      this.#list.push([text(name), this.#value(value, arguments.length, filename)]);
    }
    delete(name) { share.need(arguments.length, 1, "delete()"); name = text(name); this.#list = this.#list.filter((pair) => pair[0] !== name); }
    get(name) { share.need(arguments.length, 1, "get()"); name = text(name); return this.#list.find((pair) => pair[0] === name)?.[1] ?? null; }
    getAll(name) { share.need(arguments.length, 1, "getAll()"); name = text(name); return this.#list.filter((pair) => pair[0] === name).map((pair) => pair[1]); }
    has(name) { share.need(arguments.length, 1, "has()"); name = text(name); return this.#list.some((pair) => pair[0] === name); }
    set(name, value, filename = undefined) {
      share.need(arguments.length, 2, "set()");
      name = text(name);
      value = this.#value(value, arguments.length, filename);
      const at = this.#list.findIndex((pair) => pair[0] === name);
      if (at < 0) this.#list.push([name, value]);
      else { this.#list[at] = [name, value]; this.#list = this.#list.filter((pair, n) => n <= at || pair[0] !== name); }
    }
  }
  share.interfaces({ FormData });

  const lines = (value) => value.replace(/\r\n|\r|\n/g, "\r\n");
  const quote = (value) => value.replace(/\n/g, "%0A").replace(/\r/g, "%0D").replace(/"/g, "%22");
  const pairsOf = (form) => [...FormData.prototype.entries.call(form)];
  share.writeForm = (form) => {
    const boundary = "----nunatak" + Array.from({ length: 16 }, () => Math.floor(Math.random() * 16).toString(16)).join("");
    const parts = [];
    for (const [name, value] of pairsOf(form)) {
      const head = `--${boundary}\r\nContent-Disposition: form-data; name="${quote(lines(name))}"`;
      if (typeof value === "string") parts.push(`${head}\r\n\r\n${lines(value)}\r\n`);
      else parts.push(`${head}; filename="${quote(value.name)}"\r\nContent-Type: ${value.type || "application/octet-stream"}\r\n\r\n`, value, "\r\n");
    }
    return [share.blobBytes(new Blob([...parts, `--${boundary}--\r\n`])), `multipart/form-data; boundary=${boundary}`];
  };

  const CR = 13, LF = 10, DASH = 45, TAB = 9, SPACE = 32;
  const wrong = (why) => new TypeError(`formData(): ${why}`);
  const find = (bytes, what, from) => nk.find(bytes, what, from);
  const LINE_END = nk.encode("\r\n");
  // The line that begins at `at`, as text, and where the next one does.
  const line = (bytes, at) => {
    const end = find(bytes, LINE_END, at);
    if (end < 0) throw wrong("a part's fields are cut off");
    return [nk.decode(bytes.subarray(at, end)), end + 2];
  };
  const unquote = (value) => value.replace(/%0A/gi, "\n").replace(/%0D/gi, "\r").replace(/%22/g, '"');
  const disposition = (value) => {
    const kind = /^\s*form-data\s*(?=;|$)/i.exec(value), found = {};
    if (!kind) throw wrong("a part that is not form-data");
    const parameter = /;\s*([^=;"\s]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^;"]*))\s*/y;
    for (let at = (parameter.lastIndex = kind[0].length); at < value.length; at = parameter.lastIndex) {
      const one = parameter.exec(value);
      if (!one) throw wrong("Content-Disposition cannot be read");
      const name = one[1].toLowerCase(), given = one[2] !== undefined ? unquote(one[2].replace(/\\(["\\])/g, "$1")) : one[3].trim();
      if (name === "filename*") found.filename ??= extended(given) ?? undefined;
      else if (!Object.hasOwn(found, name)) found[name] = given;
    }
    if (found.name === undefined) throw wrong("a part without a name");
    return found;
  };
  const extended = (value) => { try { return /^utf-8'[^']*'/i.test(value) ? decodeURIComponent(value.replace(/^[^']*'[^']*'/, "")) : null; } catch { return null; } };

  const readMultipart = (bytes, boundary) => {
    const form = new FormData(), mark = nk.encode(`--${boundary}`), before = nk.encode(`\r\n--${boundary}`);
    // After a boundary: the end, or the first line of a part; -1: this was no boundary, but text that begins like one.
    const follow = (at) => {
      if (bytes[at] === DASH && bytes[at + 1] === DASH) return null;
      while (bytes[at] === SPACE || bytes[at] === TAB) at++;
      return bytes[at] === CR && bytes[at + 1] === LF ? at + 2 : -1;
    };
    let at = find(bytes, mark, 0);
    while (at > 0 && !(bytes[at - 1] === LF && bytes[at - 2] === CR)) at = find(bytes, mark, at + 1);
    if (at < 0) throw wrong("no boundary");
    for (at = follow(at + mark.length); at !== null; ) {
      if (at < 0) throw wrong("a boundary that is not a line of its own");
      let about = null, type = null;
      for (let field; ([field, at] = line(bytes, at))[0] !== ""; ) {
        const colon = field.indexOf(":");
        if (colon < 0) throw wrong("a part's field without a colon");
        const name = field.slice(0, colon).trim().toLowerCase(), value = field.slice(colon + 1).trim();
        if (name === "content-disposition") about = disposition(value);
        if (name === "content-type") type = value;
      }
      if (about === null) throw wrong("a part without Content-Disposition");
      let end = find(bytes, before, at - 2), next = -1;
      while (end >= 0 && (next = follow(end + before.length)) === -1) end = find(bytes, before, end + 1);
      if (end < 0) throw wrong("the form is cut off");
      const data = bytes.subarray(at, Math.max(at, end)); // nobody else has these bytes
      if (about.filename === undefined) form.append(about.name, nk.decode(data));
      else form.append(about.name, share.blobOf(data, type === null ? "text/plain" : share.mimeType(type), new File([], about.filename)));
      at = next;
    }
    return form;
  };

  share.readForm = (bytes, type) => {
    const mime = type === null ? null : share.part("mime").parse(type), essence = mime?.essence;
    if (essence === "application/x-www-form-urlencoded") {
      const form = new FormData();
      for (const [name, value] of share.searchParams(nk.decode(bytes), null)) form.append(name, value);
      return form;
    }
    const boundary = essence === "multipart/form-data" ? mime.parameters.get("boundary") : undefined;
    if (boundary === undefined) throw new TypeError("Unrecognized Content-Type header value: a form expected");
    return readMultipart(bytes, boundary);
  };
})();
