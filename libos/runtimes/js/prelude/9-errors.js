// `stack` of errors: any value may be set, as in V8, where it is an own property; the engine takes strings only.
"use strict";
(() => {
  const { get } = Object.getOwnPropertyDescriptor(Error.prototype, "stack");
  const { defineProperty } = Object;
  Object.defineProperty(Error.prototype, "stack", {
    get,
    set(value) { defineProperty(this, "stack", { value, writable: true, configurable: true, enumerable: false }); },
    configurable: true,
    enumerable: false,
  });
})();
