// node:timers, perf_hooks, os, tty, module, diagnostics_channel: what little of them a machine has.
const { setTimeout, clearTimeout, setInterval, clearInterval, setImmediate, clearImmediate, performance, PerformanceObserver } = globalThis;
const timers = { setTimeout, clearTimeout, setInterval, clearInterval, setImmediate, clearImmediate };

const whenDue = (set, clear) => (ms, value, { signal } = {}) => new Promise((resolve, reject) => {
  const stop = () => { clear(timer); reject(Object.assign(new Error("The operation was aborted", { cause: signal.reason }), { name: "AbortError", code: "ABORT_ERR" })); };
  const timer = set(() => { signal?.removeEventListener("abort", stop); resolve(value); }, ms);
  if (signal?.aborted) stop();
  else signal?.addEventListener("abort", stop, { once: true });
});
async function* everySo(ms, value, options) {
  for (;;) yield await promised.setTimeout(ms, value, options);
}
const promised = {
  setTimeout: whenDue(setTimeout, clearTimeout),
  setImmediate: (value, options) => whenDue((work) => setTimeout(work, 0), clearTimeout)(0, value, options),
  setInterval: everySo,
  scheduler: { wait: (ms, options) => promised.setTimeout(ms, undefined, options), yield: () => promised.setTimeout(0) },
};

const os = {
  EOL: "\n", devNull: "/dev/null", platform: () => "linux", type: () => "Linux", arch: () => "x64", machine: () => "x86_64", release: () => "",
  version: () => "", hostname: () => "localhost", homedir: () => "/", tmpdir: () => "/tmp", endianness: () => "LE", cpus: () => [], availableParallelism: () => 1,
  totalmem: () => 0, freemem: () => 0, uptime: () => 0, loadavg: () => [0, 0, 0], networkInterfaces: () => ({}), constants: { signals: {}, errno: {} },
  userInfo: () => ({ username: "", uid: 0, gid: 0, shell: null, homedir: "/" }),
};

// Channels by name: who publishes calls who subscribed, at once.
const channels = new Map();
class Channel {
  #subscribers = [];
  constructor(name) { this.name = name; }
  get hasSubscribers() { return this.#subscribers.length > 0; }
  subscribe(listener) { this.#subscribers = [...this.#subscribers, listener]; }
  unsubscribe(listener) {
    const before = this.#subscribers;
    this.#subscribers = before.filter((entry) => entry !== listener);
    return before.length !== this.#subscribers.length;
  }
  publish(message) {
    for (const listener of this.#subscribers) try { listener(message, this.name); } catch (error) { reportError(error); }
  }
  runStores(message, work, self, ...values) { this.publish(message); return Reflect.apply(work, self, values); }
  bindStore() {}
  unbindStore() { return false; }
}
const channel = (name) => channels.get(name) ?? channels.set(name, new Channel(name)).get(name);
const diagnostics_channel = {
  Channel, channel, hasSubscribers: (name) => channel(name).hasSubscribers,
  subscribe: (name, listener) => channel(name).subscribe(listener), unsubscribe: (name, listener) => channel(name).unsubscribe(listener),
};

const createRequire = () => Object.assign((name) => share.require(name), { resolve: (name) => name });
const module = { createRequire, builtinModules: share.builtins, isBuiltin: (name) => share.builtins.includes(name.replace(/^node:/, "")) };
const isatty = () => false;
export default () => ({ timers, "timers/promises": promised, os, tty: { isatty }, perf_hooks: { performance, PerformanceObserver }, diagnostics_channel, module });
