// Intl: FormatJS's classes, each made at its first use, with the tables of intl_data.py.
const { nk } = share;

const lines = (name) => (nk.table(name) ?? "").split("\n").filter(Boolean);
// Which tables each locale has, by kind; en-US is the default and is always there.
const KINDS = ["date", "number", "plural", "list", "relative"];
const locales = new Map([["en-US", ["en", "en", "en", "en", "en"]]]);
for (const line of lines("locales")) {
  const [tag, ...names] = line.split(" ");
  locales.set(tag, names);
}
const evaluate = (text) => Function(`return ${text}`)();
const addData = (constructor, kind, complete = (table) => table) => {
  const at = KINDS.indexOf(kind), read = kind === "plural" ? evaluate : JSON.parse, done = new Map();
  for (const [tag, names] of locales) {
    const name = names[at];
    if (!done.has(name)) done.set(name, complete(read(nk.table(`${name}/${kind}`)), name));
    constructor.__addLocaleData(done.get(name));
    if (!constructor.availableLocales.has(tag)) constructor.__addLocaleData({ ...done.get(name), locale: tag });
  }
  constructor.__defaultLocale = "en-US";
  return constructor;
};

const canonical = new Set([...locales.keys()].flatMap((tag) => [tag, tag.split("-")[0]]));
const getCanonicalLocales = (asked) => {
  if (asked === undefined) return [];
  if (typeof asked === "string" && canonical.has(asked)) return [asked];
  if (Array.isArray(asked) && asked.every((tag) => canonical.has(tag))) return [...new Set(asked)];
  return share.part("intl_canonical").getCanonicalLocales(asked);
};

// `name,offset,dst|...;` and changes from one to another: hours since the last change, or `_` and seconds, and a letter.
const CHANGE = /([-_0-9a-z]*)([A-Z])/g, HOUR = 3600;
const unpacked = (text) => {
  const [states, changes] = text.split(";"), all = states.split("|").map((state) => state.split(","));
  let since = 0;
  return Array.from(changes.matchAll(CHANGE), ([, after, letter]) => {
    const [name, offset, dst] = all[letter.charCodeAt(0) - 65];
    if (after !== "") since += after[0] === "_" ? parseInt(after.slice(1), 36) : HOUR * parseInt(after, 36);
    return [after === "" ? -Infinity : since, name, parseInt(offset, 36), dst === "1"];
  });
};
const withZones = (constructor) => {
  const names = nk.table("zones").split("|"), lines = new Map(names.map((name, line) => [name, line]));
  const zones = Object.fromEntries(names.map((name) => [name, undefined]));
  constructor.tzData = new Proxy(zones, {
    get: (target, name) => (lines.has(name) ? (target[name] ??= unpacked(nk.table("changes", lines.get(name)))) : undefined),
  });
  return constructor;
};

// Patterns of ranges make a format six times as large: one that has them takes the place of the first at its first range.
const withRanges = (constructor) => {
  const whole = new WeakMap(), { prototype } = constructor;
  const ranged = (format) => {
    const { locale, ...options } = format.resolvedOptions();
    if (!whole.has(constructor)) {
      whole.set(constructor, true);
      addData(constructor, "date", (table, name) => ({ ...table, data: { ...table.data, intervalFormats: JSON.parse(nk.table(`${name}/ranges`)) } }));
    }
    if (!whole.has(format)) whole.set(format, new constructor(locale, options));
    return whole.get(format);
  };
  for (const name of ["formatRange", "formatRangeToParts"]) {
    const plain = prototype[name];
    const method = { [name](from, to) { return Reflect.apply(plain, ranged(this), [from, to]); } }[name];
    Object.defineProperty(prototype, name, { value: method, writable: true, configurable: true, enumerable: false });
  }
  return constructor;
};

const make = {
  NumberFormat: () => addData(require("@formatjs/intl-numberformat").NumberFormat, "number"),
  DateTimeFormat: () => withRanges(withZones(addData(require("@formatjs/intl-datetimeformat").DateTimeFormat, "date"))),
  PluralRules: () => addData(require("@formatjs/intl-pluralrules").PluralRules, "plural"),
  ListFormat: () => addData(require("@formatjs/intl-listformat").default, "list"),
  RelativeTimeFormat: () => addData(require("@formatjs/intl-relativetimeformat").default, "relative"),
  Segmenter: () => share.part("intl_segmenter").Segmenter,
  Locale: () => share.part("intl_locale").Locale,
  Collator: () => share.part("intl_collator").collator(getCanonicalLocales),
};
const Intl = Object.create(Object.prototype, { [Symbol.toStringTag]: { value: "Intl", configurable: true } });
const define = (name, value) => Object.defineProperty(Intl, name, { value: share.named(name, value), writable: true, configurable: true, enumerable: false });
for (const name in make) {
  const get = () => {
    define(name, undefined); // packages ask whether there is one already
    return Intl[name] = share.named(name, make[name]());
  };
  Object.defineProperty(Intl, name, { get, set: (value) => define(name, value), configurable: true, enumerable: false });
}
const supportedValuesOf = (key) => {
  if (String(key) === "timeZone") return nk.table("zones").split("|").sort();
  return share.part("intl_values").supportedValuesOf(key);
};
define("getCanonicalLocales", getCanonicalLocales);
define("supportedValuesOf", supportedValuesOf);

// The methods of other classes that take locales. A formatter is kept for who asks again in the same way.
const kept = new Map();
const formatter = (name, asked, options) => {
  const key = asked === undefined || typeof asked === "string" ? `${name} ${asked} ${options === undefined ? "" : JSON.stringify(options)}` : null;
  if (key === null) return new Intl[name](asked, options);
  let found = kept.get(key);
  if (found === undefined) {
    if (kept.size >= 32) kept.clear();
    kept.set(key, (found = new Intl[name](asked, options)));
  }
  return found;
};
const NEEDED = { any: ["weekday", "year", "month", "day", "dayPeriod", "hour", "minute", "second", "fractionalSecondDigits"], date: ["weekday", "year", "month", "day"], time: ["dayPeriod", "hour", "minute", "second", "fractionalSecondDigits"] };
const DATE = { year: "numeric", month: "numeric", day: "numeric" }, TIME = { hour: "numeric", minute: "numeric", second: "numeric" };
const withDefaults = (options, needed, defaults) => {
  const wanted = { ...options };
  if (NEEDED[needed].some((name) => wanted[name] !== undefined)) return wanted;
  if (wanted.dateStyle !== undefined || wanted.timeStyle !== undefined) {
    if (needed === "date" && wanted.timeStyle !== undefined) throw new TypeError("Invalid option : timeStyle");
    if (needed === "time" && wanted.dateStyle !== undefined) throw new TypeError("Invalid option : dateStyle");
    return wanted;
  }
  return { ...wanted, ...defaults };
};
const date = (needed, defaults) => (value, asked, options) => (Number.isNaN(value.getTime()) ? "Invalid Date" : formatter("DateTimeFormat", asked, withDefaults(options, needed, defaults)).format(value));
const methods = {
  number: (value, asked, options) => formatter("NumberFormat", asked, options).format(value),
  dateAndTime: date("any", { ...DATE, ...TIME }),
  dateOnly: date("date", DATE),
  timeOnly: date("time", TIME),
  compare: (a, b, asked, options) => formatter("Collator", asked, options).compare(a, b),
};
export default () => ({ Intl, methods });
