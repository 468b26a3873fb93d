// What AsyncLocalStorage keeps, and where: each path one way for work to go on later.
import { AsyncLocalStorage, AsyncResource } from "node:async_hooks";
import { nextTick } from "process";

const storage = new AsyncLocalStorage();
const here = () => storage.getStore() ?? null;
const settled = () => new Promise((resolve) => setTimeout(resolve, 1));
const thenable = () => ({ then(resolve) { resolve(here()); } });
const promised = (start) => new Promise((resolve) => start(() => resolve(here())));

const WAYS = {
  "/await": () => storage.run("a", async () => { await null; const soon = here(); await settled(); return [soon, here()]; }),
  "/then": () => storage.run("a", () => Promise.resolve().then(here).then((first) => [first, here()])),
  "/catch": () => storage.run("a", () => Promise.reject(1).catch(here)),
  "/finally": () => storage.run("a", () => promised((done) => Promise.resolve().finally(done))),
  "/all": () => storage.run("a", async () => [...(await Promise.all([here(), settled()])), here()]),
  "/timer": () => storage.run("a", () => promised((done) => setTimeout(done, 1))),
  "/interval": () => storage.run("a", () => promised((done) => { const timer = setInterval(() => { clearInterval(timer); done(); }, 1); })),
  "/immediate": () => storage.run("a", () => promised(setImmediate)),
  "/microtask": () => storage.run("a", () => promised(queueMicrotask)),
  "/tick": () => storage.run("a", () => promised(nextTick)),
  "/thenable": async () => [await storage.run("a", thenable), await storage.run("b", async () => await thenable()), await storage.run("c", () => Promise.resolve().then(thenable))],
  "/generator": () => storage.run("a", async () => { const seen = []; for await (const store of (async function* () { yield here(); await null; yield here(); })()) seen.push(store); return seen; }),
  // A reaction belongs to who asked for it, not to who settles the promise.
  "/settler": async () => {
    const { promise, resolve } = Promise.withResolvers();
    const seen = storage.run("asked", () => promise.then(here));
    storage.run("settles", resolve);
    return [await seen, here()];
  },
  "/listener": () => {
    const target = new EventTarget(), seen = [];
    storage.run("adds", () => target.addEventListener("x", () => seen.push(here())));
    storage.run("dispatches", () => target.dispatchEvent(new Event("x")));
    return seen;
  },
  "/nested": () => storage.run("a", () => { const other = new AsyncLocalStorage(); return other.run("b", () => storage.run("c", () => [here(), other.getStore()])); }),
  "/exit": () => storage.run("a", () => [storage.exit(here), here()]),
  "/enter": async () => { storage.enterWith("a"); await null; return [here(), await promised((done) => setTimeout(done, 1))]; },
  "/snapshot": () => { const snapshot = storage.run("a", () => AsyncLocalStorage.snapshot()); return storage.run("b", () => [snapshot(here), here()]); },
  "/bind": () => { const bound = storage.run("a", () => AsyncLocalStorage.bind((value) => [here(), value])); return storage.run("b", () => bound(1)); },
  "/resource": () => { const resource = storage.run("a", () => new AsyncResource("R")); return storage.run("b", () => [resource.runInAsyncScope(here), resource.bind(here)(), here()]); },
  "/thrown": () => { try { storage.run("a", () => { throw new Error("b"); }); } catch (error) { return [error.message, here()]; } },
  "/fallback": () => [new AsyncLocalStorage({ defaultValue: 5, name: "n" }).getStore(), new AsyncLocalStorage({ name: "n" }).name],
  "/nothing": async () => [here(), await promised(queueMicrotask), await promised((done) => setTimeout(done, 1))],
};

export default {
  async fetch(request) {
    return Response.json(await WAYS[new URL(request.url).pathname]());
  },
};
