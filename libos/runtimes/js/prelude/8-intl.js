// Intl and the methods that take locales, all of them made at their first use: lazy/intl.js.
"use strict";
(() => {
  const share = globalThis.__share;
  share.lazyGlobal("Intl", "intl");
  const methods = () => share.part("intl").methods;
  const define = (prototype, functions) => {
    for (const name in functions) Object.defineProperty(prototype, name, { value: functions[name], writable: true, configurable: true, enumerable: false });
  };
  const numberOf = Number.prototype.valueOf, bigOf = BigInt.prototype.valueOf, timeOf = Date.prototype.getTime, { apply } = Reflect;
  define(Number.prototype, { toLocaleString(locales = undefined, options = undefined) { return methods().number(apply(numberOf, this, []), locales, options); } });
  define(BigInt.prototype, { toLocaleString(locales = undefined, options = undefined) { return methods().number(apply(bigOf, this, []), locales, options); } });
  const date = (method) => (self, locales, options) => { apply(timeOf, self, []); return methods()[method](self, locales, options); };
  const [dateAndTime, dateOnly, timeOnly] = ["dateAndTime", "dateOnly", "timeOnly"].map(date);
  define(Date.prototype, {
    toLocaleString(locales = undefined, options = undefined) { return dateAndTime(this, locales, options); },
    toLocaleDateString(locales = undefined, options = undefined) { return dateOnly(this, locales, options); },
    toLocaleTimeString(locales = undefined, options = undefined) { return timeOnly(this, locales, options); },
  });
  const listed = (list, locales, options) => {
    const parts = [];
    for (let n = 0; n < list.length; n++) parts[n] = list[n] === undefined || list[n] === null ? "" : String(list[n].toLocaleString(locales, options));
    return parts.join(",");
  };
  const TypedArray = Object.getPrototypeOf(Uint8Array);
  define(Array.prototype, { toLocaleString(locales = undefined, options = undefined) { return listed(Object(this), locales, options); } });
  define(TypedArray.prototype, { toLocaleString(locales = undefined, options = undefined) { return listed(this, locales, options); } });
  define(String.prototype, {
    localeCompare(that, locales = undefined, options = undefined) {
      if (this === null || this === undefined) throw new TypeError("String.prototype.localeCompare called on null or undefined");
      return methods().compare(String(this), String(that), locales, options);
    },
  });
})();
