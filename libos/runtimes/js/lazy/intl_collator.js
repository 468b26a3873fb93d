// Intl.Collator: the comparison of the Unicode Collation Algorithm (UTS 10) with the weights of collation.py.
const { nk } = share;
const TERTIARY_BITS = 5, SEVERAL = 0x4000, MIDDLE = 0x5000, CASE = 8; // a tertiary weight from here on is an upper case's
const weights = nk.table("collation/weights");
const { elements: more, punctuation } = JSON.parse(nk.table("collation/more"));
const REACH = weights.length / 2, BLOCK = 128, firsts = new Uint16Array(REACH), read = new Uint8Array(Math.ceil(REACH / BLOCK));
// The primary weight of a character: of those beside it, too, with the first of them.
const firstOf = (code) => {
  const block = (code / BLOCK) | 0;
  if (!read[block]) {
    for (let at = block * BLOCK, end = Math.min(at + BLOCK, REACH), last = 0; at < end; at++) last = firsts[at] = last + weights.charCodeAt(at) - MIDDLE;
    read[block] = 1;
  }
  return firsts[code];
};
const DIGIT = firstOf(0x30), ASCII = /^[\x20-\x7e]*$/;

// Beyond the table: Han as it was first encoded, then its extensions, then the rest.
const isHan = (code) => (code >= 0x4e00 && code <= 0x9fff) || (code >= 0xf900 && code <= 0xfaff);
const beyond = (code) => (isHan(code) ? 0x100000 : code >= 0x20000 && code <= 0x323af ? 0x400000 : 0x800000) + code;

// The weights of a text in three lists; what is ignored on a level has none there.
const keysOf = (text, { numeric, ignorePunctuation }) => {
  const first = [], second = [], third = [];
  const put = (a, b, c) => {
    if (ignorePunctuation && a > 0 && a <= punctuation) return;
    if (a > 0) first.push(a);
    if (b > 0) second.push(b);
    if (c > 0) third.push(c);
  };
  const plain = ASCII.test(text) ? text : text.normalize("NFD");
  for (let at = 0; at < plain.length; ) {
    const code = plain.codePointAt(at);
    if (numeric && code >= 0x30 && code <= 0x39) {
      const start = at;
      while (at < plain.length && plain.charCodeAt(at) >= 0x30 && plain.charCodeAt(at) <= 0x39) at++;
      const digits = plain.slice(start, at).replace(/^0+(?=.)/, "");
      put(DIGIT, 1, 2);
      first.push(digits.length);
      for (const digit of digits) first.push(firstOf(digit.charCodeAt(0)));
      continue;
    }
    at += code > 0xffff ? 2 : 1;
    if (code >= REACH) { put(beyond(code), 1, 2); continue; }
    const a = firstOf(code), rest = weights.charCodeAt(REACH + code);
    if (a === SEVERAL) for (const element of more[rest]) put(...element);
    else put(a, rest >> TERTIARY_BITS, rest & ((1 << TERTIARY_BITS) - 1));
  }
  return [first, second, third];
};
const inOrder = (left, right) => {
  const size = Math.min(left.length, right.length);
  for (let n = 0; n < size; n++) if (left[n] !== right[n]) return left[n] < right[n] ? -1 : 1;
  return Math.sign(left.length - right.length);
};
const caseOf = (list) => list.map((weight) => (weight >= CASE && weight <= 12 ? 1 : 0));
const compare = (a, b, options) => {
  if (a === b) return 0;
  const left = keysOf(a, options), right = keysOf(b, options), { sensitivity, caseFirst } = options;
  let order = inOrder(left[0], right[0]);
  if (order === 0 && (sensitivity === "accent" || sensitivity === "variant")) order = inOrder(left[1], right[1]);
  if (order === 0 && caseFirst === "upper" && sensitivity !== "base" && sensitivity !== "accent") order = inOrder(caseOf(right[2]), caseOf(left[2]));
  if (order === 0 && sensitivity === "case") order = inOrder(caseOf(left[2]), caseOf(right[2]));
  if (order === 0 && sensitivity === "variant") order = inOrder(left[2], right[2]);
  return order;
};

// Languages that CLDR sorts in the root's order; for others a collator says that it is the default's.
const ROOT = new Set(["en", "de", "fr", "it", "nl", "pt", "id", "ms", "ga", "lb", "sw", "zu", "xh", "ca", "eu", "gd"]);
const DEFAULT = "en-US";
const chosen = (name, value, allowed, fallback) => {
  if (value === undefined) return fallback;
  if (!allowed.includes(String(value))) throw new RangeError(`Value ${value} out of range for Intl.Collator options property ${name}`);
  return String(value);
};

export default () => ({
  collator(getCanonicalLocales) {
    const supported = (asked) => getCanonicalLocales(asked).filter((tag) => ROOT.has(tag.split("-")[0]));
    class Collator {
      #options; #compare;
      constructor(asked, options = {}) {
        const tag = supported(asked)[0] ?? DEFAULT, [base, extension = ""] = tag.split("-u-");
        const keyword = (key) => { const match = new RegExp(`(?:^|-)${key}(?:-([a-z0-9]{3,8}))?(?=-|$)`).exec(extension); return match ? match[1] ?? "true" : undefined; };
        const numeric = options.numeric !== undefined ? Boolean(options.numeric) : keyword("kn") !== undefined && keyword("kn") !== "false";
        this.#options = {
          locale: base,
          usage: chosen("usage", options.usage, ["sort", "search"], "sort"),
          sensitivity: chosen("sensitivity", options.sensitivity, ["base", "accent", "case", "variant"], "variant"),
          ignorePunctuation: Boolean(options.ignorePunctuation),
          collation: "default",
          numeric,
          caseFirst: chosen("caseFirst", options.caseFirst ?? keyword("kf"), ["upper", "lower", "false"], "false"),
        };
      }
      get compare() { return (this.#compare ??= (a, b) => compare(String(a), String(b), this.#options)); }
      resolvedOptions() { return { ...this.#options }; }
      static supportedLocalesOf(asked) { return supported(asked); }
    }
    Object.defineProperty(Collator.prototype, Symbol.toStringTag, { value: "Intl.Collator", configurable: true });
    const callable = function (...values) { return new Collator(...values); }; // with `new` and without
    callable.prototype = Collator.prototype;
    Collator.prototype.constructor = callable;
    Object.defineProperty(callable, "name", { value: "Collator" });
    Object.defineProperty(callable, "length", { value: 0 });
    return Object.assign(callable, { supportedLocalesOf: Collator.supportedLocalesOf });
  },
});
