// One document on its way: tokens in, handlers called in their order, text out.
import Tokenizer from "../node_modules/htmlparser2/dist/Tokenizer.js";
import { Comment, Doctype, DocumentEnd, Element, EndTag, TextChunk } from "./tokens.js";

const VOID = new Set("area base br col embed hr img input link meta param source track wbr".split(" "));
const SPACES = { svg: "http://www.w3.org/2000/svg", math: "http://www.w3.org/1998/Math/MathML" }, HTML = "http://www.w3.org/1999/xhtml";

export class Rewriting {
  #elements; #documents; #tokenizer; #tokens = [];
  #source = ""; #from = 0; // what has come and not left, and where it begins in the document
  #open = []; #root = { children: 0, types: new Map() }; // elements around what comes
  #hidden = 0; // of these, whose content is dropped
  #inText = false; #out = "";
  constructor(elements, documents) {
    this.#elements = elements;
    this.#documents = documents;
    const tokens = this.#tokens;
    let tag = null, name = null, value = "";
    this.#tokenizer = new Tokenizer({ decodeEntities: false }, {
      onopentagname: (from, to) => { tag = { kind: "start", from: from - 1, name: [from, to], attributes: [] }; },
      onattribname: (from, to) => { name = [from, to]; value = null; },
      onattribdata: (from, to) => { value = value === null ? [from, to] : [value[0], to]; },
      onattribend: (quote, to) => { if (name) tag.attributes.push({ name, value, raw: [name[0], quote > 1 ? to + 1 : to] }); name = null; },
      onopentagend: (at) => { tokens.push({ ...tag, to: at + 1, closed: false }); },
      onselfclosingtag: (at) => { tokens.push({ ...tag, to: at + 1, closed: true }); },
      onclosetag: (from, to) => { tokens.push({ kind: "endTag", from: from - 2, name: [from, to], to: null }); },
      ontext: (from, to) => { tokens.push({ kind: "text", from, to }); },
      oncomment: (from, to, offset) => { tokens.push({ kind: "comment", from: null, content: [from, to - offset], to: to + 1 }); },
      ondeclaration: (from, to) => { tokens.push({ kind: "doctype", from: from - 1, content: [from, to], to: to + 1 }); },
      onprocessinginstruction() {}, oncdata() {}, onend() {}, onattribentity() {}, ontextentity() {},
    });
  }
  #cut([from, to]) { return this.#source.slice(from - this.#from, to - this.#from); }
  #drop(to) { this.#source = this.#source.slice(to - this.#from); this.#from = to; }
  #say(text) { if (this.#hidden === 0) this.#out += text; }

  async write(text) {
    this.#source += text;
    this.#tokenizer.write(text);
    return this.#work();
  }
  async end() {
    this.#tokenizer.end();
    let text = await this.#work();
    await this.#endOfText();
    this.#say(this.#source);
    this.#source = "";
    while (this.#open.length) await this.#close(this.#open.pop(), null, "");
    const end = new DocumentEnd();
    for (const handlers of this.#documents) await handlers.end?.(end);
    text += this.#out + end._text;
    this.#out = "";
    return text;
  }
  async #work() {
    const tokens = this.#tokens;
    let at = 0;
    for (; at < tokens.length; at++) {
      const token = tokens[at];
      if (token.kind === "endTag") { // the tokenizer tells of its name only
        const end = this.#source.indexOf(">", token.name[1] - this.#from);
        if (end < 0) break;
        token.to = this.#from + end + 1;
      }
      if (token.kind === "comment") token.from = this.#from + Math.max(0, this.#source.lastIndexOf("<", Math.max(0, token.content[0] - 1 - this.#from)));
      if (token.from > this.#from) { this.#say(this.#cut([this.#from, token.from])); this.#drop(token.from); }
      if (token.kind !== "text") await this.#endOfText();
      await this[token.kind](token, this.#cut([token.from, token.to]));
      this.#drop(token.to);
    }
    tokens.splice(0, at);
    const text = this.#out;
    this.#out = "";
    return text;
  }

  // Handlers of that kind: of the document, then of the elements around.
  #handlers(kind) {
    const found = this.#documents.filter((each) => each[kind]);
    for (const node of this.#open) for (const each of node.handlers) if (each[kind] && !found.includes(each)) found.push(each);
    return found;
  }
  async text(token, raw, last = false) {
    const handlers = this.#hidden === 0 ? this.#handlers("text") : [];
    if (!last) this.#inText = true;
    if (handlers.length === 0) return this.#say(raw);
    const chunk = new TextChunk(raw, last);
    for (const each of handlers) await each.text(chunk);
    this.#say(chunk._text(raw));
  }
  async #endOfText() {
    if (!this.#inText) return;
    this.#inText = false;
    await this.text(null, "", true);
  }
  async comment(token, raw) {
    const comment = new Comment(this.#cut(token.content));
    if (this.#hidden === 0) for (const each of this.#handlers("comments")) await each.comments(comment);
    this.#say(comment._text(comment._changed ? `<!--${comment.text}-->` : raw));
  }
  async doctype(token, raw) {
    const doctype = new Doctype(this.#cut(token.content));
    for (const each of this.#documents) await each.doctype?.(doctype);
    this.#say(raw);
  }
  async start(token, raw) {
    const parent = this.#open.at(-1) ?? null, around = parent ?? this.#root, name = this.#cut(token.name).toLowerCase();
    const ofType = (around.types.get(name) ?? 0) + 1;
    around.types.set(name, ofType);
    const node = { name, was: name, parent, place: ++around.children, placeOfType: ofType, children: 0, types: new Map(), attributes: new Map(), handlers: [], element: null };
    node.namespace = SPACES[name] ?? (parent && parent.namespace !== HTML && parent.was !== "foreignobject" ? parent.namespace : HTML);
    for (const { name: at, value, raw: whole } of token.attributes) {
      const key = this.#cut(at).toLowerCase();
      if (!node.attributes.has(key)) node.attributes.set(key, { value: value ? this.#cut(value) : "", raw: this.#cut(whole) });
    }
    const shown = this.#hidden === 0;
    if (shown) node.handlers = this.#elements.filter(({ matches }) => matches(node)).map(({ handlers }) => handlers);
    const called = node.handlers.filter((each) => each.element);
    if (called.length) {
      node.element = new Element(node);
      for (const each of called) await each.element(node.element);
    }
    this.#sayStart(node, raw);
    if (VOID.has(node.was) || (token.closed && node.namespace !== HTML)) return this.#say(node.element?._after ?? "");
    this.#open.push(node);
    if (node.element && (!node.element._keepsContent || node.element._inner !== null)) { node.hides = true; this.#hidden++; }
  }
  #sayStart(node, raw) {
    const { element } = node;
    if (element === null) return this.#say(raw);
    const tag = element._changed ? `<${[node.name === node.was ? raw.slice(1, 1 + node.was.length) : node.name, ...[...node.attributes.values()].map((each) => each.raw)].join(" ")}${raw.endsWith("/>") ? " /" : ""}>` : raw;
    this.#say(element._before + (element._instead ?? tag) + (element._keepsContent ? element._first + (element._inner ?? "") : ""));
  }
  async #close(node, tag, raw) {
    const { element } = node;
    if (node.hides) this.#hidden--;
    if (element === null) return this.#say(raw);
    if (tag !== null) for (const handler of element._endHandlers) await handler(tag);
    const own = element.removed ? "" : tag === null ? raw : tag._text(tag._renamed ? `</${tag.name}>` : element._changed && node.name !== node.was ? `</${node.name}>` : raw);
    this.#say((element._keepsContent ? element._last : "") + own + element._after);
  }
  async endTag(token, raw) {
    const name = this.#cut(token.name).toLowerCase();
    const at = this.#open.findLastIndex((node) => node.was === name);
    if (at < 0) return this.#say(raw);
    while (this.#open.length > at + 1) await this.#close(this.#open.pop(), null, "");
    const node = this.#open.pop();
    await this.#close(node, new EndTag(node.name), raw);
  }
}
