// node:async_hooks: AsyncLocalStorage and AsyncResource, on the context that the engine carries along (async_context.h).
// A context is a Map from a storage to its store; it is never changed once it is current, but replaced.
const { nk } = share;

const within = (context, work, self, values) => {
  const before = nk.context();
  nk.context(context);
  try { return Reflect.apply(work, self, values); } finally { nk.context(before); }
};
const checked = (work) => {
  if (typeof work === "function") return work;
  throw Object.assign(new TypeError('The "fn" argument must be of type function'), { code: "ERR_INVALID_ARG_TYPE" });
};

class AsyncLocalStorage {
  #name; #fallback;
  constructor({ name = "", defaultValue } = {}) { this.#name = name; this.#fallback = defaultValue; }
  get name() { return this.#name; }
  #with(store) { return new Map(nk.context()).set(this, store); }
  getStore() {
    const context = nk.context();
    return context !== undefined && context.has(this) ? context.get(this) : this.#fallback;
  }
  run(store, work, ...values) { return within(this.#with(store), checked(work), undefined, values); }
  exit(work, ...values) { return within(this.#with(undefined), checked(work), undefined, values); }
  enterWith(store) { nk.context(this.#with(store)); }
  disable() {
    const context = new Map(nk.context());
    context.delete(this);
    nk.context(context);
  }
  static bind(work) { return new AsyncResource("bound-anonymous-fn").bind(work); }
  static snapshot() {
    const context = nk.context();
    return (work, ...values) => within(context, checked(work), undefined, values);
  }
}

let lastId = 1;
class AsyncResource {
  #context = nk.context(); #id = ++lastId;
  constructor(type) {
    if (typeof type !== "string") throw Object.assign(new TypeError('The "type" argument must be of type string'), { code: "ERR_INVALID_ARG_TYPE" });
  }
  runInAsyncScope(work, self, ...values) { return within(this.#context, checked(work), self, values); }
  bind(work, self) {
    const context = this.#context;
    checked(work);
    return function (...values) { return within(context, work, self === undefined ? this : self, values); };
  }
  asyncId() { return this.#id; }
  triggerAsyncId() { return 0; }
  emitDestroy() { return this; }
  static bind(work, type, self) { return new AsyncResource(type || work.name || "bound-anonymous-fn").bind(work, self); }
}

// Nobody tells of resources' lives here, as on workerd: hooks are taken and never called.
const createHook = () => { const hook = { enable: () => hook, disable: () => hook }; return hook; };
const executionAsyncId = () => 0;
const triggerAsyncId = () => 0;
const executionAsyncResource = () => ({});
const asyncWrapProviders = Object.freeze({ __proto__: null });
const async_hooks = { AsyncLocalStorage, AsyncResource, createHook, executionAsyncId, triggerAsyncId, executionAsyncResource, asyncWrapProviders };
export default () => ({ async_hooks });
