// What handlers are given: an element, a piece of text, a comment, a doctype, an end tag, the document's end.
const escape = (text) => text.replace(/[&<>]/g, (sign) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;" })[sign]);
const contentOf = (content, options) => (options?.html ? String(content) : escape(String(content)));

// Something in the text with what is put around it, or in its place.
class Token {
  _before = ""; _after = ""; _instead = null; #removed = false;
  get removed() { return this.#removed; }
  before(content, options) { this._before += contentOf(content, options); return this; }
  after(content, options) { this._after = contentOf(content, options) + this._after; return this; }
  replace(content, options) { this._instead = contentOf(content, options); this.#removed = true; return this; }
  remove() { this._instead = ""; this.#removed = true; return this; }
  _text(own) { return this._before + (this._instead ?? own) + this._after; }
}
export class TextChunk extends Token {
  constructor(text, last) { super(); this.text = text; this.lastInTextNode = last; }
}
export class Comment extends Token {
  _changed = false; #text;
  constructor(text) { super(); this.#text = text; }
  get text() { return this.#text; }
  set text(value) { this.#text = String(value); this._changed = true; }
}
export class EndTag extends Token {
  _renamed = false; #name;
  constructor(name) { super(); this.#name = name; }
  get name() { return this.#name; }
  set name(value) { this.#name = String(value); this._renamed = true; }
}
export class Doctype {
  constructor(text) {
    const match = /^!?doctype\s*(\S+)?(?:\s+public\s+(?:"([^"]*)"|'([^']*)'))?(?:\s+system)?(?:\s*(?:"([^"]*)"|'([^']*)'))?/i.exec(text);
    this.name = match?.[1]?.toLowerCase() ?? null;
    this.publicId = match?.[2] ?? match?.[3] ?? null;
    this.systemId = match?.[4] ?? match?.[5] ?? null;
  }
}
export class DocumentEnd {
  _text = "";
  append(content, options) { this._text += contentOf(content, options); return this; }
}
export class Element extends Token {
  _first = ""; _last = ""; _inner = null; _keepsContent = true; _changed = false; _endHandlers = []; #node;
  constructor(node) { super(); this.#node = node; }
  get tagName() { return this.#node.name; }
  set tagName(name) { this.#node.name = String(name).toLowerCase(); this._changed = true; }
  get namespaceURI() { return this.#node.namespace; }
  get attributes() { return [...this.#node.attributes].map(([name, { value }]) => [name, value])[Symbol.iterator](); }
  getAttribute(name) { return this.#node.attributes.get(String(name).toLowerCase())?.value ?? null; }
  hasAttribute(name) { return this.#node.attributes.has(String(name).toLowerCase()); }
  setAttribute(name, value) {
    const key = String(name).toLowerCase();
    if (key === "" || /[\s"'>/=]/.test(key)) throw new TypeError("Invalid attribute name");
    this.#node.attributes.set(key, { value: String(value), raw: `${key}="${String(value).replaceAll('"', "&quot;")}"` });
    this._changed = true;
    return this;
  }
  removeAttribute(name) { if (this.#node.attributes.delete(String(name).toLowerCase())) this._changed = true; return this; }
  prepend(content, options) { this._first = contentOf(content, options) + this._first; return this; }
  append(content, options) { this._last += contentOf(content, options); return this; }
  setInnerContent(content, options) { this._inner = contentOf(content, options); this._first = this._last = ""; return this; }
  replace(content, options) { this._keepsContent = false; return super.replace(content, options); }
  remove() { this._keepsContent = false; return super.remove(); }
  removeAndKeepContent() { super.remove(); this._keepsContent = true; return this; }
  onEndTag(handler) { this._endHandlers.push(handler); }
}
