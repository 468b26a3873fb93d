// What Intl and the methods that take locales say in en-US. The time is a summer's evening in UTC.
const at = new Date(Date.UTC(2026, 6, 4, 18, 5, 9, 42)), winter = new Date(Date.UTC(2026, 0, 31, 23, 59, 59));
const number = (options, ...values) => values.map((value) => new Intl.NumberFormat("en-US", options).format(value));
const date = (options, value = at) => new Intl.DateTimeFormat("en-US", options).format(value);
const zones = ["UTC", "America/New_York", "Europe/Berlin", "Asia/Kolkata", "Australia/Lord_Howe", "America/St_Johns", "Pacific/Kiritimati", "Africa/Casablanca"];
const sorted = (words, options) => [...words].sort(new Intl.Collator("en", options).compare).join(" ");
const thrown = (work) => { try { return work(); } catch (error) { return error.name; } };

const ASKED = {
  "/numbers": () => [
    number({}, 1234567.891, -0.5, 0, 1e21, 123456789012345678901234567890n, NaN, Infinity), number({ minimumFractionDigits: 2 }, 1, 1.005), number({ maximumFractionDigits: 0 }, 2.5, 3.5, -1.5),
    number({ maximumSignificantDigits: 3 }, 123456, 0.00123456), number({ minimumIntegerDigits: 3, useGrouping: false }, 7, 12345), number({ style: "percent", maximumFractionDigits: 1 }, 0.1234, 12),
    number({ signDisplay: "always" }, 5, -5, 0), number({ signDisplay: "exceptZero" }, 5, 0), number({ signDisplay: "never" }, -5), number({ roundingMode: "ceil", maximumFractionDigits: 0 }, 1.1, -1.1),
  ],
  "/currencies": () => [
    number({ style: "currency", currency: "USD" }, 1234.5, -3, 0), number({ style: "currency", currency: "EUR" }, 9.999), number({ style: "currency", currency: "JPY" }, 1234.5), number({ style: "currency", currency: "USD", currencyDisplay: "name" }, 1, 2),
    number({ style: "currency", currency: "USD", currencyDisplay: "code" }, 5), number({ style: "currency", currency: "USD", currencySign: "accounting" }, -5), number({ style: "currency", currency: "CAD", currencyDisplay: "narrowSymbol" }, 5),
    number({ style: "currency", currency: "USD", minimumFractionDigits: 0 }, 5), number({ style: "currency", currency: "USD", notation: "compact" }, 1234567),
  ],
  "/units": () => [
    number({ style: "unit", unit: "kilometer-per-hour" }, 50), number({ style: "unit", unit: "megabyte", unitDisplay: "long" }, 1, 2), number({ style: "unit", unit: "celsius", unitDisplay: "narrow" }, 21), number({ style: "unit", unit: "day", unitDisplay: "long" }, 3),
    number({ notation: "compact" }, 999, 1234, 15300, 1.5e6, 2.34e9, 1e12), number({ notation: "compact", compactDisplay: "long" }, 1234, 2.5e6), number({ notation: "scientific" }, 123456), number({ notation: "engineering" }, 123456),
  ],
  "/parts": () => [new Intl.NumberFormat("en-US", { style: "currency", currency: "USD" }).formatToParts(-1234.5), new Intl.DateTimeFormat("en-US", { dateStyle: "long", timeStyle: "short", timeZone: "UTC" }).formatToParts(at)],
  "/styles": () => ["full", "long", "medium", "short"].flatMap((style) => [date({ dateStyle: style, timeZone: "UTC" }), date({ timeStyle: style, timeZone: "America/New_York" }), date({ dateStyle: style, timeStyle: style, timeZone: "Europe/Berlin" })]),
  "/zones": () => zones.map((timeZone) => [timeZone, date({ timeZone, dateStyle: "short", timeStyle: "long" }), date({ timeZone, hour: "numeric", minute: "numeric", timeZoneName: "short" }, winter), date({ timeZone, timeZoneName: "longOffset" }), date({ timeZone, timeZoneName: "long" }, winter)]),
  "/fields": () => [
    date({}), date({ timeZone: "UTC", year: "numeric", month: "2-digit", day: "2-digit" }), date({ timeZone: "UTC", weekday: "long" }), date({ timeZone: "UTC", month: "long", year: "numeric" }), date({ timeZone: "UTC", month: "short", day: "numeric" }),
    date({ timeZone: "UTC", weekday: "short", year: "numeric", month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit" }), date({ timeZone: "UTC", hour: "numeric" }), date({ timeZone: "UTC", hour: "numeric", hour12: false, minute: "2-digit" }),
    date({ timeZone: "UTC", hour: "2-digit", minute: "2-digit", hourCycle: "h23" }, new Date(0)), date({ timeZone: "UTC", hour: "2-digit", minute: "2-digit", hourCycle: "h24" }, new Date(0)), date({ timeZone: "UTC", minute: "numeric", second: "numeric", fractionalSecondDigits: 3 }),
    date({ timeZone: "UTC", era: "short", year: "numeric" }, new Date(-1e14)), date({ timeZone: "UTC", dayPeriod: "long", hour: "numeric" }), date({ timeZone: "+05:30", hour: "numeric", minute: "numeric" }), date({ timeZone: "UTC", year: "2-digit", month: "narrow" }),
  ],
  "/ranges": () => [
    new Intl.DateTimeFormat("en-US", { timeZone: "UTC", month: "short", day: "numeric" }).formatRange(at, new Date(+at + 3 * 864e5)), new Intl.DateTimeFormat("en-US", { timeZone: "UTC", dateStyle: "medium" }).formatRange(winter, at),
    new Intl.DateTimeFormat("en-US", { timeZone: "UTC", hour: "numeric", minute: "numeric" }).formatRange(at, new Date(+at + 36e5)), new Intl.NumberFormat("en-US", { style: "currency", currency: "USD", maximumFractionDigits: 0 }).formatRange(3, 5),
  ],
  "/options": () => [
    new Intl.DateTimeFormat().resolvedOptions(), new Intl.DateTimeFormat("en-US", { timeZone: "america/new_york", timeStyle: "short" }).resolvedOptions(), new Intl.NumberFormat("en-US", { style: "currency", currency: "usd" }).resolvedOptions(), new Intl.PluralRules("en-US").resolvedOptions().locale,
    thrown(() => date({ timeZone: "Mars/Olympus" })), thrown(() => number({ style: "currency" }, 1)), thrown(() => new Intl.NumberFormat("not a tag")), thrown(() => Intl.DateTimeFormat("en-US", { dateStyle: "short", year: "numeric" })), Intl.DateTimeFormat.supportedLocalesOf(["en-US", "xx"]),
  ],
  "/plurals": () => [[0, 1, 2, 1.5].map((n) => new Intl.PluralRules("en-US").select(n)), [1, 2, 3, 4, 11, 21, 112].map((n) => new Intl.PluralRules("en-US", { type: "ordinal" }).select(n)), new Intl.PluralRules("en-US").selectRange(1, 2)],
  "/lists": () => [["a"], ["a", "b"], ["a", "b", "c"]].map((list) => [new Intl.ListFormat("en-US").format(list), new Intl.ListFormat("en-US", { type: "disjunction" }).format(list), new Intl.ListFormat("en-US", { type: "unit", style: "narrow" }).format(list)]),
  "/relative": () => [new Intl.RelativeTimeFormat("en-US").format(-1, "day"), new Intl.RelativeTimeFormat("en-US", { numeric: "auto" }).format(-1, "day"), new Intl.RelativeTimeFormat("en-US").format(3, "months"), new Intl.RelativeTimeFormat("en-US", { style: "short" }).format(-2, "hour"), new Intl.RelativeTimeFormat("en-US").formatToParts(10, "second")],
  "/order": () => [
    sorted("b a C c B A \u00e4 z Z \u00e9 e f".split(" ")), sorted("resume r\u00e9sum\u00e9 Resume R\u00e9sum\u00e9 resumes".split(" ")), sorted("a10 a9 a1 a01 b2".split(" "), { numeric: true }), sorted("a A b B".split(" "), { caseFirst: "upper" }), sorted(Array.from({ length: 94 }, (_, n) => String.fromCharCode(33 + n))).replaceAll(" ", ""),
    sorted("\u03b2 \u0431 \u05d1 \u0628 \u4e00 \u3042 \uac00 a \u30a2".split(" ")), new Intl.Collator("en", { sensitivity: "base" }).compare("a", "\u00c1"), new Intl.Collator("en", { sensitivity: "accent" }).compare("a", "A"), new Intl.Collator("en", { sensitivity: "accent" }).compare("a", "\u00e1"),
    new Intl.Collator("en", { sensitivity: "case" }).compare("a", "A"), new Intl.Collator("en", { ignorePunctuation: true }).compare("co-op", "coop"), "a".localeCompare("b"), "B".localeCompare("a"), "\u00e9".localeCompare("e\u0301"), "item 10".localeCompare("item 9", undefined, { numeric: true }), "a".localeCompare("A", "en", { sensitivity: "base" }),
    new Intl.Collator("en-u-kn-true").compare("2", "10"), new Intl.Collator("en-US").resolvedOptions(), "co-op coop co op".split(" ").sort((a, b) => a.localeCompare(b)).join(), "stra\u00dfe".localeCompare("strasse"), "\u00c6".localeCompare("ae"),
  ],
  "/words": () => [[...new Intl.Segmenter("en", { granularity: "word" }).segment("Don't stop, 3.5 times!")].filter((part) => part.isWordLike).map((part) => part.segment), [...new Intl.Segmenter("en").segment("e\u0301\ud83d\udc68\u200d\ud83d\udc69\u200d\ud83d\udc67\ud83c\udde9\ud83c\uddea!")].map((part) => part.segment), [...new Intl.Segmenter("en", { granularity: "sentence" }).segment("One. Two? Three!")].length],
  "/methods": () => [
    (1234.5).toLocaleString(), (0.256).toLocaleString("en-US", { style: "percent" }), 12345678901234567890n.toLocaleString("en-US"), [1234.5, at, null, "x"].toLocaleString("en-US", { timeZone: "UTC" }), new Float64Array([1234.5, 0.1]).toLocaleString(), at.toLocaleString("en-US", { timeZone: "UTC" }), at.toLocaleDateString(), at.toLocaleTimeString(),
    at.toLocaleDateString("en-US", { dateStyle: "long" }), at.toLocaleDateString(undefined, { weekday: "short", month: "long", day: "numeric" }), at.toLocaleTimeString("en-US", { hour: "2-digit", minute: "2-digit", timeZone: "America/Los_Angeles" }), new Date(NaN).toLocaleDateString(), thrown(() => at.toLocaleDateString("en-US", { timeStyle: "short" })),
  ],
  "/tags": () => [Intl.getCanonicalLocales(["EN-us", "zh-hans-cn", "iw"]), Intl.getCanonicalLocales("en-US"), new Intl.Locale("en-Latn-US-u-ca-gregory").maximize().toString(), new Intl.Locale("de-AT").language, Object.prototype.toString.call(Intl), Intl.supportedValuesOf("timeZone").includes("Europe/Oslo"), Intl.supportedValuesOf("currency").includes("USD"), Intl.supportedValuesOf("unit").includes("liter"), thrown(() => Intl.supportedValuesOf("colour"))],
};

export default {
  async fetch(request) {
    const ask = ASKED[new URL(request.url).pathname];
    return ask ? Response.json(await ask()) : Response.json(Object.keys(ASKED));
  },
};
