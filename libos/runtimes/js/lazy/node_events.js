// node:events: npm's events, with the functions that came to Node's since.
import EventEmitter from "events";

const listenersOf = (emitter, name) => (typeof emitter.listeners === "function" ? emitter.listeners(name) : []);
const abortError = (signal) => Object.assign(new Error("The operation was aborted", { cause: signal.reason }), { name: "AbortError", code: "ABORT_ERR" });

// Events as an asynchronous iterator, each as the list of its values; an "error" ends it.
const on = (emitter, name, { signal } = {}) => {
  if (signal?.aborted) throw abortError(signal);
  const events = [], readers = [];
  let failure = null, ended = false;
  const give = (...values) => (readers.length ? readers.shift().resolve({ value: values, done: false }) : events.push(values));
  const fail = (error) => (readers.length ? readers.shift().reject(error) : (failure = error));
  const onAbort = () => fail(abortError(signal));
  const end = () => {
    emitter.off(name, give);
    emitter.off("error", fail);
    signal?.removeEventListener("abort", onAbort);
    ended = true;
    for (const reader of readers.splice(0)) reader.resolve({ value: undefined, done: true });
  };
  emitter.on(name, give);
  if (name !== "error") emitter.on("error", fail);
  signal?.addEventListener("abort", onAbort, { once: true });
  return {
    next() {
      if (events.length) return Promise.resolve({ value: events.shift(), done: false });
      if (failure) { const error = failure; failure = null; end(); return Promise.reject(error); }
      if (ended) return Promise.resolve({ value: undefined, done: true });
      return new Promise((resolve, reject) => readers.push({ resolve, reject }));
    },
    return() { end(); return Promise.resolve({ value: undefined, done: true }); },
    throw(error) { fail(error); return this.return(); },
    [Symbol.asyncIterator]() { return this; },
  };
};
const addAbortListener = (signal, listener) => {
  if (signal.aborted) queueMicrotask(() => listener());
  else signal.addEventListener("abort", listener, { once: true });
  return { [Symbol.dispose ?? Symbol.for("nodejs.dispose")]() { signal.removeEventListener("abort", listener); } };
};

const events = Object.assign(EventEmitter, {
  on, addAbortListener, getEventListeners: listenersOf, listenerCount: (emitter, name) => emitter.listenerCount(name),
  setMaxListeners: (count, ...emitters) => { for (const emitter of emitters) emitter.setMaxListeners?.(count); },
  getMaxListeners: (emitter) => emitter.getMaxListeners?.() ?? EventEmitter.defaultMaxListeners,
  errorMonitor: Symbol("events.errorMonitor"), captureRejectionSymbol: Symbol.for("nodejs.rejection"), captureRejections: false,
});
export default () => ({ events });
