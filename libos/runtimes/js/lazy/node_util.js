// node:util: inspect and format are Node's own (node-inspect-extracted); the small functions are here.
import { inspect, format, formatWithOptions, stripVTControlCharacters } from "node-inspect-extracted";
import * as types from "./node/types.js";

const invalid = (name, what, value) => Object.assign(new TypeError(`The "${name}" argument must be of type ${what}. Received ${value === null ? "null" : typeof value}`), { code: "ERR_INVALID_ARG_TYPE" });

const inherits = (constructor, base) => {
  if (typeof constructor !== "function") throw invalid("ctor", "function", constructor);
  if (typeof base !== "function") throw invalid("superCtor", "function", base);
  Object.defineProperty(constructor, "super_", { value: base, writable: true, configurable: true });
  Object.setPrototypeOf(constructor.prototype, base.prototype);
};

const custom = Symbol.for("nodejs.util.promisify.custom");
const promisify = (original) => {
  if (typeof original !== "function") throw invalid("original", "function", original);
  if (original[custom]) return original[custom];
  function promised(...values) {
    return new Promise((resolve, reject) => Reflect.apply(original, this, [...values, (error, value) => (error ? reject(error) : resolve(value))]));
  }
  Object.setPrototypeOf(promised, Object.getPrototypeOf(original));
  return Object.defineProperties(promised, Object.getOwnPropertyDescriptors(original));
};
promisify.custom = custom;

const callbackify = (original) => {
  if (typeof original !== "function") throw invalid("original", "function", original);
  return function (...values) {
    const callback = values.pop();
    if (typeof callback !== "function") throw invalid("last argument", "function", callback);
    Reflect.apply(original, this, values).then(
      (value) => queueMicrotask(() => callback(null, value)),
      (error) => queueMicrotask(() => callback(error || Object.assign(new Error("Promise was rejected with a falsy value"), { reason: error, code: "ERR_FALSY_VALUE_REJECTION" }))),
    );
  };
};

const warned = new Set();
const deprecate = (work, message, code) => {
  let said = false;
  return Object.setPrototypeOf(function (...values) {
    if (!said && !(code && warned.has(code))) console.warn(`${code ? `[${code}] ` : ""}DeprecationWarning: ${message}`);
    said = true;
    if (code) warned.add(code);
    return new.target ? Reflect.construct(work, values, new.target) : Reflect.apply(work, this, values);
  }, work);
};

const debuglog = () => Object.assign(() => {}, { enabled: false });
const isDeepStrictEqual = (a, b) => share.part("node_assert").isDeepStrictEqual(a, b);
const toUSVString = (text) => String(text).toWellFormed();
const styleText = (style, text) => [style].flat().reduce((inner, name) => {
  const codes = inspect.colors[name];
  if (!codes) throw Object.assign(new TypeError(`The argument 'format' must be one of: ${Object.keys(inspect.colors).join(", ")}`), { code: "ERR_INVALID_ARG_VALUE" });
  return `\u001b[${codes[0]}m${inner}\u001b[${codes[1]}m`;
}, text);
const aborted = (signal) => new Promise((resolve) => (signal.aborted ? resolve() : signal.addEventListener("abort", () => resolve(), { once: true })));
const { TextEncoder, TextDecoder } = globalThis;
const { isArray } = Array;

const util = {
  inspect, format, formatWithOptions, stripVTControlCharacters, types, inherits, promisify, callbackify, deprecate, debuglog,
  debug: debuglog, isDeepStrictEqual, toUSVString, styleText, aborted, TextEncoder, TextDecoder, isArray,
};
export default () => ({ util, "util/types": types });
