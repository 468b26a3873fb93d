// High resolution time. What stands still while a machine is parked is now(), so the origin moves: their sum is always the
// wall clock's time. What keeps marks and measures is made with the first of them: lazy/user_timing.js.
"use strict";
(() => {
  const share = globalThis.__share, { nk } = share;
  let made = true;
  class Performance extends EventTarget {
    #it;
    constructor() {
      if (!made) throw new TypeError("Illegal constructor");
      super();
      this.#it = this;
    }
    now() { return this.#it && nk.mono(); }
    get timeOrigin() { return this.#it && nk.wall() - nk.mono(); }
    toJSON() { return { timeOrigin: this.timeOrigin }; }
    mark(name, options = undefined) { return this.#kept(arguments.length, "mark")(name, options); }
    measure(name, about = undefined, end = undefined) { return this.#kept(arguments.length, "measure")(name, about, end); }
    clearMarks(name = undefined) { this.#kept(1, "clearMarks")(name); }
    clearMeasures(name = undefined) { this.#kept(1, "clearMeasures")(name); }
    getEntries() { return this.#kept(1, "getEntries")(); }
    getEntriesByType(type) { return this.#kept(arguments.length, "getEntriesByType")(type); }
    getEntriesByName(name, type = undefined) { return this.#kept(arguments.length, "getEntriesByName")(name, type); }
    #kept(given, what) {
      share.need(given, 1, `${what}()`);
      return this.#it && share.part("user_timing")[what];
    }
  }
  share.interfaces({ Performance });
  share.expose({ performance: new Performance() });
  made = false;
  for (const name of ["PerformanceEntry", "PerformanceMark", "PerformanceMeasure"]) share.lazyGlobal(name, "user_timing");
})();
