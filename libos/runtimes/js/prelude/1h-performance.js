// High resolution time. What stands still while a machine is parked is now(), so the origin moves: their sum is always the
// wall clock's time.
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
  }
  share.interfaces({ Performance });
  share.expose({ performance: new Performance() });
  made = false;
})();
