// Blob, File, and object URLs (the W3C File API).
"use strict";
(() => {
  const share = globalThis.__share, { nk, bytesOf, concat, options } = share;
  const PLAIN_TYPE = /^[a-z0-9!#$&^_.+-]+\/[a-z0-9!#$&^_.+-]+$/;

  // A content type as it is written back; "" for what is none.
  share.mimeType = (type) => (PLAIN_TYPE.test(type) ? type : `${share.part("mime").parse(type) ?? ""}`);
  const typeOf = (type) => {
    type = `${type}`;
    return type === "" ? "" : share.mimeType(type);
  };
  const clamped = (value, size, otherwise) => {
    if (value === undefined) return otherwise;
    const number = Math.min(Math.max(Number(value) || 0, -(2 ** 53 - 1)), 2 ** 53 - 1), down = Math.floor(number);
    const whole = number - down === 0.5 ? down + Math.abs(down % 2) : Math.round(number); // Web IDL's [Clamp]
    return whole < 0 ? Math.max(size + whole, 0) : Math.min(whole, size);
  };

  class Blob {
    #bytes; #type;
    constructor(parts = undefined, init = undefined) {
      const list = [];
      let size = 0;
      if (parts !== undefined) {
        if ((typeof parts !== "object" && typeof parts !== "function") || parts === null || typeof parts[Symbol.iterator] !== "function") throw new TypeError("Blob: a sequence of parts expected");
        for (const part of parts) list.push(typeof part === "object" && part !== null && #bytes in part ? part.#bytes : bytesOf(part) ?? `${part}`);
      }
      const { endings = "transparent", type = "" } = options(init, "Blob");
      if (`${endings}` !== "transparent" && `${endings}` !== "native") throw new TypeError(`Blob: "transparent" or "native" expected as endings, got "${endings}"`);
      for (let n = 0; n < list.length; n++) {
        if (typeof list[n] === "string") list[n] = nk.encode(`${endings}` === "native" ? list[n].replace(/\r\n?/g, "\n") : list[n]);
        size += list[n].byteLength;
      }
      this.#bytes = concat(list, size);
      this.#type = typeOf(type);
    }
    static {
      share.blobBytes = (blob) => blob.#bytes;
      share.isBlob = (value) => typeof value === "object" && value !== null && #bytes in value;
      share.blobOf = (bytes, type, blob = new Blob()) => { blob.#bytes = bytes; blob.#type = type; return blob; }; // which it keeps
      share.clonable.push([Blob, (from) => (from instanceof File ? new File([from], from.name, { type: from.type, lastModified: from.lastModified }) : share.blobOf(from.#bytes, from.#type))]);
    }
    get size() { return this.#bytes.length; }
    get type() { return this.#type; }
    slice(start = undefined, end = undefined, contentType = "") {
      const size = this.#bytes.length, from = clamped(start, size, 0), to = clamped(end, size, size);
      contentType = `${contentType}`;
      return share.blobOf(this.#bytes.subarray(from, Math.max(from, to)), /^[\x20-\x7e]*$/.test(contentType) ? contentType.toLowerCase() : "");
    }
    stream() { return share.streamOf(share.bytesSource(this.#bytes.slice())); }
    async text() { return nk.decode(this.#bytes); }
    async arrayBuffer() { return this.#bytes.slice().buffer; }
    async bytes() { return this.#bytes.slice(); }
  }
  class File extends Blob {
    #name; #modified;
    constructor(parts, name, init = undefined) {
      share.need(arguments.length, 2, "File");
      super(parts === undefined ? null : parts, init);
      const { lastModified } = options(init, "File");
      this.#name = share.text(name);
      this.#modified = lastModified === undefined ? Date.now() : Math.trunc(Number(lastModified)) || 0;
    }
    get name() { return this.#name; }
    get lastModified() { return this.#modified; }
  }
  share.interfaces({ Blob, File });

  // URLs of blobs, for fetch() of this machine.
  const objects = new Map();
  const createObjectURL = (blob) => {
    if (!share.isBlob(blob)) throw new TypeError("createObjectURL(): a Blob expected");
    const url = `blob:null/${crypto.randomUUID()}`;
    objects.set(url, blob);
    return url;
  };
  const revokeObjectURL = (url) => { objects.delete(`${url}`); };
  for (const [name, value] of Object.entries({ createObjectURL, revokeObjectURL })) Object.defineProperty(URL, name, { value, writable: true, enumerable: true, configurable: true });
  share.objectOf = (url) => objects.get(url.split("#")[0]) ?? null;
})();
