// Events, their targets, and signals (the WHATWG DOM Standard, sections 2 and 3). There is no tree: a path is one target.
"use strict";
(() => {
  const share = globalThis.__share, { nk, text, options } = share;
  const NONE = 0, AT_TARGET = 2;
  let trust, isTrusted; // of an event that the platform dispatches
  const { get } = Object.getOwnPropertyDescriptor({ get isTrusted() { return isTrusted(this); } }, "isTrusted");
  const trusted = { get, enumerable: true, configurable: false }; // each event has it as its own, and all have the same

  class Event {
    #type; #bubbles; #cancelable; #composed; #time = nk.mono(); #canceled = false; #passive = false; #stop = false; #stopNow = false;
    #target = null; #current = null; #phase = NONE; #dispatched = false; #begun = true; #trusted = false;
    constructor(type, init = undefined) {
      share.need(arguments.length, 1, "Event");
      this.#type = text(type);
      const { bubbles = false, cancelable = false, composed = false } = options(init, "Event");
      this.#bubbles = !!bubbles;
      this.#cancelable = !!cancelable;
      this.#composed = !!composed;
      Object.defineProperty(this, "isTrusted", trusted);
    }
    get type() { return this.#type; }
    get target() { return this.#target; }
    get srcElement() { return this.#target; }
    get currentTarget() { return this.#current; }
    composedPath() { return this.#current === null ? [] : [this.#current]; }
    get eventPhase() { return this.#phase; }
    stopPropagation() { this.#stop = true; }
    get cancelBubble() { return this.#stop; }
    set cancelBubble(value) { if (value) this.#stop = true; }
    stopImmediatePropagation() { this.#stop = this.#stopNow = true; }
    get bubbles() { return this.#bubbles; }
    get cancelable() { return this.#cancelable; }
    get returnValue() { return !this.#canceled; }
    set returnValue(value) { if (!value) this.preventDefault(); }
    preventDefault() { if (this.#cancelable && !this.#passive) this.#canceled = true; }
    get defaultPrevented() { return this.#canceled; }
    get composed() { return this.#composed; }
    get timeStamp() { return this.#time; }
    initEvent(type, bubbles = false, cancelable = false) {
      share.need(arguments.length, 1, "initEvent()");
      if (this.#dispatched) return;
      this.#type = text(type);
      this.#bubbles = !!bubbles;
      this.#cancelable = !!cancelable;
      this.#begun = true;
      this.#canceled = this.#stop = this.#stopNow = this.#trusted = false;
      this.#target = null;
    }
    static {
      isTrusted = (event) => event.#trusted;
      trust = (event) => { event.#trusted = true; return event; };
      share.dispatch = (event, target, listeners) => { // listeners: those of its type, or undefined
        if (event.#dispatched || !event.#begun) throw new DOMException("The event is already being dispatched", "InvalidStateError");
        event.#dispatched = true;
        event.#target = target;
        if (listeners !== undefined && !event.#stop) {
          event.#current = target;
          event.#phase = AT_TARGET;
          const now = listeners.slice();
          for (const capture of [true, false]) // capturing ones first, also at the target
            for (const entry of now) {
              if (entry.capture !== capture || entry.removed || event.#stopNow) continue;
              if (entry.once) entry.remove();
              event.#passive = entry.passive;
              call(entry.callback, event, target);
              event.#passive = false;
            }
        }
        event.#phase = NONE;
        event.#current = null;
        event.#dispatched = event.#stop = event.#stopNow = false;
        return !event.#canceled;
      };
    }
  }
  for (const [at, name] of ["NONE", "CAPTURING_PHASE", "AT_TARGET", "BUBBLING_PHASE"].entries())
    for (const place of [Event, Event.prototype]) Object.defineProperty(place, name, { value: at, enumerable: true });

  const call = (callback, event, target) => {
    try {
      if (typeof callback === "function") return callback.call(target, event);
      const handle = callback.handleEvent;
      if (typeof handle !== "function") throw new TypeError("EventListener: a function, or an object with handleEvent(), expected");
      handle.call(callback, event);
    } catch (error) { share.report(error); }
  };

  class EventTarget {
    #listeners = null; // Map: type -> [{callback, capture, once, passive, removed, remove}]
    static #of(target) { return target === undefined || target === null || target === globalThis ? share.globalTarget : target; }
    addEventListener(type, callback, init = undefined) {
      share.need(arguments.length, 2, "addEventListener()");
      EventTarget.#of(this).#add(text(type), callback, init);
    }
    #add(type, callback, init) {
      const flags = typeof init === "object" && init !== null ? init : { capture: init };
      const capture = !!flags.capture, once = !!flags.once, passive = !!flags.passive, { signal } = flags;
      if (signal !== undefined && !(signal instanceof AbortSignal)) throw new TypeError("addEventListener(): an AbortSignal expected as signal");
      if (callback !== null && callback !== undefined && typeof callback !== "object" && typeof callback !== "function") throw new TypeError("addEventListener(): a function or an object expected");
      if (callback === null || callback === undefined || signal?.aborted) return;
      const all = (this.#listeners ??= new Map()), list = all.get(type) ?? [];
      if (list.some((one) => one.callback === callback && one.capture === capture)) return;
      const entry = { callback, capture, once, passive, removed: false, remove: () => {
        if (entry.removed) return;
        entry.removed = true;
        list.splice(list.indexOf(entry), 1);
        if (signal !== undefined) share.offAbort(signal, entry.remove);
      } };
      list.push(entry);
      all.set(type, list);
      if (signal !== undefined) share.onAbort(signal, entry.remove);
    }
    removeEventListener(type, callback, init = undefined) {
      share.need(arguments.length, 2, "removeEventListener()");
      const capture = typeof init === "object" && init !== null ? !!init.capture : !!init;
      EventTarget.#of(this).#listeners?.get(text(type))?.find((one) => one.callback === callback && one.capture === capture)?.remove();
    }
    dispatchEvent(event) {
      share.need(arguments.length, 1, "dispatchEvent()");
      if (!(event instanceof Event)) throw new TypeError("dispatchEvent(): an Event expected");
      const target = EventTarget.#of(this), seen = target === share.globalTarget ? globalThis : target;
      return share.dispatch(event, seen, target.#listeners?.get(event.type));
    }
    static { // what the platform itself dispatches: whether nobody prevented what follows
      share.fire = (target, event) => share.dispatch(trust(event), target === share.globalTarget ? globalThis : target, target.#listeners?.get(event.type));
      share.listens = (target, type) => (target.#listeners?.get(type)?.length ?? 0) > 0;
    }
  }

  // `onabort` and the like: a listener that takes its place in the order when it is first set.
  share.handlers = (Class, ...names) => {
    const handlers = new WeakMap(); // target -> {name: [the handler, its listener]}
    for (const name of names) {
      const of = (target) => (Class === null ? share.globalTarget : target);
      Object.defineProperty(Class === null ? globalThis : Class.prototype, "on" + name, {
        get() { return handlers.get(of(this))?.[name]?.[0] ?? null; },
        set(value) {
          const target = of(this), mine = handlers.get(target) ?? {};
          handlers.set(target, mine);
          if (typeof value !== "function" && (typeof value !== "object" || value === null)) { if (mine[name]) mine[name][0] = null; return; }
          if (mine[name]) { mine[name][0] = value; return; }
          const global = target === share.globalTarget, tells = global && name === "error"; // HTML, section 8.1.8.1
          const entry = (mine[name] = [value, (event) => {
            if (typeof entry[0] !== "function") return;
            const given = tells ? [event.message, event.filename, event.lineno, event.colno, event.error] : [event];
            if (entry[0].apply(global ? globalThis : target, given) === tells) event.preventDefault();
          }]);
          target.addEventListener(name, entry[1]);
        },
        enumerable: true, configurable: true,
      });
    }
  };

  let made = false; // AbortSignals are made by this file only
  const quietly = (make) => { made = true; try { return make(); } finally { made = false; } };
  class AbortSignal extends EventTarget {
    #aborted = false; #reason = undefined; #acts = null; // what the platform does then, before listeners hear of it
    #followers = null; // any() of this one, which have it as a root
    #roots = null;
    constructor() {
      if (!made) throw new TypeError("Illegal constructor");
      super();
    }
    get aborted() { return this.#aborted; }
    get reason() { return this.#reason; }
    throwIfAborted() { if (this.#aborted) throw this.#reason; }
    static abort(reason = undefined) { const signal = share.signal(); share.abort(signal, reason); return signal; }
    static timeout(milliseconds) {
      share.need(arguments.length, 1, "timeout()");
      const ms = Number(milliseconds);
      if (!(ms > -1 && ms < 2 ** 53)) throw new TypeError("timeout(): a number of milliseconds expected");
      const signal = share.signal();
      share.setTimer(() => share.abort(signal, new DOMException("The operation was aborted due to timeout", "TimeoutError")), ms, [], false);
      return signal;
    }
    static any(signals) {
      share.need(arguments.length, 1, "any()");
      const any = share.signal(), all = [...signals];
      for (const signal of all) if (!(signal instanceof AbortSignal)) throw new TypeError("any(): AbortSignals expected");
      const first = all.find((signal) => signal.#aborted);
      if (first) { share.abort(any, first.#reason); return any; }
      any.#roots = new Set(all.flatMap((signal) => (signal.#roots === null ? [signal] : [...signal.#roots])));
      for (const root of any.#roots) (root.#followers ??= []).push(any);
      return any;
    }
    static {
      share.signal = () => quietly(() => new AbortSignal());
      share.onAbort = (signal, act) => { (signal.#acts ??= []).push(act); };
      share.offAbort = (signal, act) => { if (signal.#acts !== null) signal.#acts = signal.#acts.filter((one) => one !== act); };
      share.abort = (signal, reason = new DOMException("The operation was aborted", "AbortError")) => {
        if (signal.#aborted) return;
        const all = [signal];
        for (const follower of signal.#followers ?? []) if (!follower.#aborted) all.push(follower);
        signal.#followers = null;
        for (const one of all) { one.#aborted = true; one.#reason = reason; } // before anybody hears of it
        share.again = true; // who waits for the gate may have waited for this
        for (const one of all) {
          for (const act of one.#acts ?? []) try { act(); } catch (error) { share.report(error); }
          one.#acts = null;
          share.fire(one, new Event("abort"));
        }
      };
    }
  }
  share.handlers(AbortSignal, "abort");
  class AbortController {
    #signal = share.signal();
    get signal() { return this.#signal; }
    abort(reason = undefined) { share.abort(this.#signal, reason); }
  }

  class CustomEvent extends Event {
    #detail;
    constructor(type, init = undefined) {
      share.need(arguments.length, 1, "CustomEvent");
      super(type, init);
      this.#detail = options(init, "CustomEvent").detail ?? null;
    }
    get detail() { return this.#detail; }
    initCustomEvent(type, bubbles = false, cancelable = false, detail = null) { this.initEvent(type, bubbles, cancelable); this.#detail = detail; }
  }
  class ErrorEvent extends Event {
    #init;
    constructor(type, init = undefined) { super(type, init); this.#init = { ...options(init, "ErrorEvent") }; }
    get message() { return `${this.#init.message ?? ""}`; }
    get filename() { return `${this.#init.filename ?? ""}`; }
    get lineno() { return (this.#init.lineno ?? 0) >>> 0; }
    get colno() { return (this.#init.colno ?? 0) >>> 0; }
    get error() { return this.#init.error; }
  }
  class PromiseRejectionEvent extends Event {
    #promise; #reason;
    constructor(type, init) {
      super(type, init);
      if (options(init, "PromiseRejectionEvent").promise === undefined) throw new TypeError("PromiseRejectionEvent: a promise expected");
      this.#promise = init.promise;
      this.#reason = init.reason;
    }
    get promise() { return this.#promise; }
    get reason() { return this.#reason; }
  }

  share.interfaces({ Event, EventTarget, AbortSignal, AbortController, CustomEvent, ErrorEvent, PromiseRejectionEvent });
  share.globalTarget = new EventTarget();
  const { addEventListener, removeEventListener, dispatchEvent } = EventTarget.prototype;
  share.expose({ addEventListener, removeEventListener, dispatchEvent });
  share.handlers(null, "error", "unhandledrejection", "rejectionhandled");

  // Exceptions that nobody catches go to the log, unless a listener of the global object takes them.
  let reporting = false;
  share.report = (error) => {
    if (reporting || !share.listens(share.globalTarget, "error")) return share.tell("uncaught", error, share.current);
    reporting = true;
    try {
      const message = error instanceof Error ? `${error.name}: ${error.message}` : `${share.show(error)}`;
      if (share.fire(share.globalTarget, new ErrorEvent("error", { message, error, cancelable: true }))) share.tell("uncaught", error, share.current);
    } finally { reporting = false; }
  };
  share.expose({ reportError(error) { share.need(arguments.length, 1, "reportError()"); share.report(error); } });
})();
