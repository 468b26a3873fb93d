// node:process, and the global `process`: what programs ask it for before they know where they are. As on workerd there
// is no process behind it: what cannot be is refused by name.
const refused = (name) => () => { throw Object.assign(new Error(`process.${name}() is not here: a machine is no process`), { code: "ERR_FEATURE_UNAVAILABLE_ON_PLATFORM" }); };
const listeners = new Map();
const nanoseconds = () => BigInt(Math.round(performance.now() * 1e6));
const hrtime = (since) => {
  const now = nanoseconds() - (since ? BigInt(since[0]) * 1_000_000_000n + BigInt(since[1]) : 0n);
  return [Number(now / 1_000_000_000n), Number(now % 1_000_000_000n)];
};
hrtime.bigint = nanoseconds;
const writer = (fd, say) => ({ fd, isTTY: false, writable: true, columns: 80, write: (text) => { say(String(text).replace(/\n$/, "")); return true; }, on() { return this; }, once() { return this; }, end() {} });

const process = {
  title: "nunatak", version: "v22.19.0", versions: { node: "22.19.0" }, release: { name: "node" },
  platform: "linux", arch: "x64", pid: 1, ppid: 0, argv: ["nunatak"], argv0: "nunatak", execArgv: [], execPath: "nunatak",
  env: share.environment(), exitCode: undefined, config: {}, features: {}, noDeprecation: false,
  cwd: () => "/", umask: () => 0o22, uptime: () => performance.now() / 1000, hrtime,
  memoryUsage: Object.assign(() => ({ rss: 0, heapTotal: 0, heapUsed: 0, external: 0, arrayBuffers: 0 }), { rss: () => 0 }),
  cpuUsage: () => ({ user: 0, system: 0 }),
  nextTick: (work, ...values) => queueMicrotask(() => work(...values)),
  emitWarning: (warning, about) => console.warn(`${warning?.name ?? about?.type ?? (typeof about === "string" ? about : "Warning")}: ${warning?.message ?? warning}`),
  stdout: writer(1, (text) => console.log(text)), stderr: writer(2, (text) => console.error(text)),
  getBuiltinModule: (name) => share.builtin(name),
  exit: refused("exit"), abort: refused("abort"), kill: refused("kill"), chdir: refused("chdir"), dlopen: refused("dlopen"), binding: refused("binding"),
  // Listeners are taken: nothing here ends, warns or signals through them.
  on(event, listener) { listeners.set(event, [...(listeners.get(event) ?? []), listener]); return process; },
  off(event, listener) { listeners.set(event, (listeners.get(event) ?? []).filter((entry) => entry !== listener)); return process; },
  emit(event, ...values) { const list = listeners.get(event) ?? []; for (const listener of list) Reflect.apply(listener, process, values); return list.length > 0; },
  listeners: (event) => [...(listeners.get(event) ?? [])],
  listenerCount: (event) => (listeners.get(event) ?? []).length,
  removeAllListeners(event) { event === undefined ? listeners.clear() : listeners.delete(event); return process; },
  setMaxListeners() { return process; },
};
process.addListener = process.once = process.prependListener = process.on;
process.removeListener = process.off;
Object.defineProperty(process, Symbol.toStringTag, { value: "process" });
export default () => ({ process });
