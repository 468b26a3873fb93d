// Console: one log line each, as the publisher reads them (the Console Standard). Nothing that is logged can throw.
"use strict";
(() => {
  const share = globalThis.__share, { nk, expose } = share;
  const DEPTH_MAX = 3, ITEMS_MAX = 100;

  const key = (name) => (typeof name === "symbol" ? `[${String(name)}]` : /^[A-Za-z_$][\w$]*$/.test(name) ? name : JSON.stringify(name));
  const errorText = (error, depth, seen) => {
    const stack = typeof error.stack === "string" && error.stack !== "" ? "\n" + error.stack.trimEnd() : "";
    let text = `${error}${stack}`;
    if ("cause" in error) text += `\ncause: ${show(error.cause, depth, [...seen, error])}`;
    if (Array.isArray(error.errors)) text += `\nerrors: ${show(error.errors, depth, [...seen, error])}`;
    return text;
  };
  const listed = (items, all) => (all > ITEMS_MAX ? [...items.slice(0, ITEMS_MAX), `... ${all - ITEMS_MAX} more`] : items).join(", ");
  const object = (value, depth, seen) => {
    if (seen.includes(value)) return "[Circular]";
    if (value instanceof Error) return errorText(value, depth, seen);
    if (value instanceof Date) return Number.isNaN(value.getTime()) ? "Invalid Date" : value.toISOString();
    if (value instanceof RegExp) return String(value);
    const name = value.constructor?.name;
    if (depth > DEPTH_MAX) return Array.isArray(value) ? "[Array]" : `[${name || "Object"}]`;
    const inner = [...seen, value], item = (one) => show(one, depth + 1, inner);
    if (Array.isArray(value)) return `[ ${listed(value.slice(0, ITEMS_MAX + 1).map(item), value.length)} ]`;
    if (ArrayBuffer.isView(value) && !(value instanceof DataView)) return `${name}(${value.length}) [ ${listed([...value.subarray(0, ITEMS_MAX + 1)].map(item), value.length)} ]`;
    if (value instanceof Map) return `Map(${value.size}) { ${[...value].map(([k, v]) => `${item(k)} => ${item(v)}`).join(", ")} }`;
    if (value instanceof Set) return `Set(${value.size}) { ${[...value].map(item).join(", ")} }`;
    if (value instanceof Number || value instanceof String || value instanceof Boolean) return `[${name}: ${item(value.valueOf())}]`;
    const entries = Reflect.ownKeys(value).filter((one) => Object.prototype.propertyIsEnumerable.call(value, one))
      .map((one) => `${key(one)}: ${property(value, one, item)}`);
    const prefix = name && name !== "Object" ? name + " " : Object.getPrototypeOf(value) === null ? "[Object: null prototype] " : "";
    return entries.length ? `${prefix}{ ${entries.join(", ")} }` : `${prefix}{}`;
  };
  const property = (value, one, item) => {
    const { get, value: own } = Object.getOwnPropertyDescriptor(value, one) ?? {};
    return get ? "[Getter]" : item(own);
  };
  const show = (value, depth = 0, seen = []) => {
    if (typeof value === "string") return depth ? JSON.stringify(value) : value;
    if (typeof value === "bigint") return `${value}n`;
    try {
      if (typeof value === "function") return `[Function ${value.name || "(anonymous)"}]`;
      if (typeof value !== "object" || value === null) return Object.is(value, -0) ? "-0" : String(value);
      return object(value, depth, seen);
    } catch { return "[an object that cannot be looked at]"; } // a proxy, or a getter that throws
  };

  // Formatter of the standard, section 2.2.1.
  const number = (value, convert) => (typeof value === "symbol" ? NaN : convert(value));
  const FORMATS = {
    s: (value) => (typeof value === "object" && value !== null ? show(value, 1) : typeof value === "symbol" ? String(value) : show(value)),
    d: (value) => (typeof value === "bigint" ? `${value}n` : number(value, (one) => parseInt(one, 10))),
    f: (value) => number(value, parseFloat),
    o: (value) => show(value, 1), O: (value) => show(value, 1), c: () => "", j: (value) => JSON.stringify(value),
  };
  FORMATS.i = FORMATS.d;
  const format = (values) => {
    if (typeof values[0] !== "string" || !values[0].includes("%")) return values.map((value) => show(value)).join(" ");
    let next = 1;
    const text = values[0].replace(/%([sdifoOcj%])/g, (whole, kind) => {
      if (kind === "%") return "%";
      if (next >= values.length) return whole;
      try { return String(FORMATS[kind](values[next++])); } catch { return whole; }
    });
    return [text, ...values.slice(next).map((value) => show(value))].join(" ");
  };
  let indent = "";
  const say = (prefix, text) => nk.log((indent + prefix + text).replaceAll("\n", "\n" + indent));
  const print = (prefix) => (...values) => say(prefix, format(values));
  const counts = new Map(), timers = new Map();
  const since = (label) => `${label}: ${Math.round((nk.mono() - timers.get(label)) * 1000) / 1000}ms`;
  const labelled = (act) => (label = "default", ...values) => act(`${label}`, values);
  const timed = (ends) => labelled((label, values) => {
    if (!timers.has(label)) return say("warn: ", `no timer ${label}`);
    say("", [since(label), ...values.map((value) => show(value))].join(" "));
    if (ends) timers.delete(label);
  });
  const table = (data, columns) => {
    if (typeof data !== "object" || data === null) return say("", format([data]));
    const rows = data instanceof Map ? [...data] : data instanceof Set ? [...data].map((value, at) => [at, value]) : Object.entries(data);
    const names = columns ?? [...new Set(rows.flatMap(([, row]) => (typeof row === "object" && row !== null ? Object.keys(row) : [])))];
    for (const [name, row] of rows)
      say("", [name, ...(typeof row === "object" && row !== null ? names.map((column) => `${column}: ${show(row[column], 1)}`) : [show(row, 1)])].join(" | "));
  };
  const group = (...values) => { if (values.length) say("", format(values)); indent += "  "; };
  const safely = (act) => (...values) => { try { act(...values); } catch (error) { say("", show(error)); } };
  const methods = {
    assert: (good = false, ...values) => { if (!good) say("assertion failed", values.length ? ": " + format(values) : ""); },
    clear: () => { indent = ""; },
    debug: print("debug: "), error: print("error: "), info: print(""), log: print(""), trace: (...values) => say("trace: ", format(values) + "\n" + new Error().stack.split("\n").slice(1).join("\n").trimEnd()), warn: print("warn: "),
    dir: (value) => say("", show(value, 1)), dirxml: print(""), table: safely(table),
    count: labelled((label) => { counts.set(label, (counts.get(label) ?? 0) + 1); say("", `${label}: ${counts.get(label)}`); }),
    countReset: labelled((label) => { if (!counts.delete(label)) say("warn: ", `no count ${label}`); }),
    group, groupCollapsed: (...values) => group(...values), groupEnd: () => { indent = indent.slice(2); },
    time: labelled((label) => { if (timers.has(label)) say("warn: ", `timer ${label} is running`); else timers.set(label, nk.mono()); }),
    timeLog: timed(false), timeEnd: timed(true), timeStamp: () => {},
  };
  const console = Object.create({}, { [Symbol.toStringTag]: { value: "console", configurable: true } });
  for (const name in methods) { // under its own name, and without a prototype
    const act = methods[name];
    console[name] = { [name](...values) { act(...values); } }[name];
    Object.defineProperty(console[name], "length", { value: 0 });
  }
  share.show = show;
  expose({ console });
})();
