// Modules that a worker may import by name: Node's, each in a part of lazy/ that is evaluated by its first import.
"use strict";
(() => {
  const share = globalThis.__share;
  const PARTS = {
    node_assert: ["assert", "assert/strict"],
    node_async_hooks: ["async_hooks"],
    node_buffer: ["buffer"],
    node_crypto: ["crypto"],
    node_events: ["events"],
    node_path: ["path", "path/posix", "string_decoder"],
    node_process: ["process"],
    node_small: ["timers", "timers/promises", "os", "tty", "perf_hooks", "diagnostics_channel", "module"],
    node_stream: ["stream", "stream/promises", "stream/web"],
    node_url: ["url", "querystring", "punycode"],
    node_util: ["util", "util/types"],
  };
  const MISSING = [
    ...["child_process", "cluster", "dgram", "dns", "dns/promises", "domain", "fs", "fs/promises", "http", "http2", "https", "inspector", "net", "readline"],
    ...["repl", "sqlite", "tls", "trace_events", "v8", "vm", "wasi", "worker_threads", "zlib"],
  ];
  const SHARED = { __proto__: null, "@formatjs/intl-getcanonicallocales": "intl_canonical", "@formatjs/intl-supportedvaluesof": "intl_values" };
  const partOf = { __proto__: null, "cloudflare:workers": "caches" };
  for (const part in PARTS) for (const name of PARTS[part]) partOf[name] = part;
  share.builtins = Object.keys(PARTS).flatMap((part) => PARTS[part]);

  // The module of that name; undefined for a name that is none of Node's.
  share.builtin = (name) => {
    const plain = name.startsWith("node:") ? name.slice(5) : name;
    if (partOf[plain] !== undefined) return share.part(partOf[plain])[plain];
    if (MISSING.includes(plain)) throw new Error(`${name} is not here: a machine has no files, sockets, processes or threads; what there is of Node is ${share.builtins.join(", ")}`);
    return undefined;
  };
  // What packages within parts require of each other: with the slash that says npm's, too.
  share.require = (name) => {
    if (SHARED[name] !== undefined) return share.part(SHARED[name])[name];
    const found = share.builtin(name.replace(/\/$/, ""));
    if (found === undefined) throw new ReferenceError(`no module '${name}'`);
    return found;
  };
  // For main.c: the module's names and values in turn; null for a name that is none of Node's.
  globalThis.__module = (name) => {
    const found = share.builtin(name);
    if (found === undefined) return null;
    const list = ["default", found];
    for (const key of Object.keys(found)) if (key !== "default") list.push(key, found[key]);
    return list;
  };

  share.lazyGlobal("Buffer", "node_buffer");
  share.lazyGlobal("process", "node_process");
  share.lazyGlobal("HTMLRewriter", "html_rewriter");
  share.expose({ global: globalThis });
})();
