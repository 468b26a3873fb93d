// TextEncoder and TextDecoder (the WHATWG Encoding Standard). UTF-8 is C's (utf8.c); the other encodings are a part that
// is evaluated when somebody asks for one.
"use strict";
(() => {
  const share = globalThis.__share, { nk, bytesOf } = share;
  const UTF_8 = ["utf-8", "utf8", "unicode-1-1-utf-8", "unicode11utf8", "unicode20utf8", "x-unicode20utf8"];
  const EMPTY = new Uint8Array(0);

  class TextEncoder {
    get encoding() { return "utf-8"; }
    encode(text = "") { return nk.encode(`${text}`); }
    encodeInto(text, into) {
      share.need(arguments.length, 2, "encodeInto()");
      if (!(into instanceof Uint8Array)) throw new TypeError("encodeInto(): a Uint8Array expected");
      const [read, written] = nk.encodeInto(`${text}`.slice(0, into.length), into);
      return { read, written };
    }
  }

  class TextDecoder {
    #fatal; #ignoreBOM; #rest = EMPTY; #begun = false; #more = false; #other = null; // of another encoding
    constructor(label = "utf-8", options = undefined) {
      const { fatal = false, ignoreBOM = false } = share.options(options, "TextDecoder");
      this.#fatal = !!fatal;
      this.#ignoreBOM = !!ignoreBOM;
      label = `${label}`;
      if (label !== "utf-8" && !UTF_8.includes(label.replace(/^[\t\n\f\r ]+|[\t\n\f\r ]+$/g, "").toLowerCase()))
        this.#other = share.part("encodings").decoder(label, this.#fatal, this.#ignoreBOM);
    }
    get encoding() { return this.#other === null ? "utf-8" : this.#other.encoding; }
    get fatal() { return this.#fatal; }
    get ignoreBOM() { return this.#ignoreBOM; }
    decode(input = EMPTY, options = undefined) {
      const { stream = false } = share.options(options, "decode()");
      let bytes = bytesOf(input);
      if (!bytes) throw new TypeError("decode(): an ArrayBuffer or a view of one expected");
      if (this.#other !== null) return this.#other.decode(bytes, { stream: !!stream });
      if (!this.#more) { this.#rest = EMPTY; this.#begun = false; }
      this.#more = !!stream;
      if (this.#rest.length) bytes = share.concat([this.#rest, bytes], this.#rest.length + bytes.length);
      this.#rest = EMPTY;
      if (stream) {
        const unfinished = nk.unfinished(bytes);
        if (unfinished) {
          this.#rest = bytes.slice(bytes.length - unfinished);
          bytes = bytes.subarray(0, bytes.length - unfinished);
        }
      }
      const text = nk.decode(bytes, this.#fatal);
      if (text === undefined) { this.#rest = EMPTY; throw new TypeError("The encoded data was not valid utf-8"); }
      if (text === "" || this.#begun) return text;
      this.#begun = true;
      return !this.#ignoreBOM && text.charCodeAt(0) === 0xfeff ? text.slice(1) : text;
    }
  }
  share.interfaces({ TextEncoder, TextDecoder });
})();
