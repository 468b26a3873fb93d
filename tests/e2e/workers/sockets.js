// What the tests of WebSockets do with one: each path is another kind of server.
let count = 0;
const open = new Map();
const log = [];
const kinds = {
  echo(server) { server.addEventListener("message", ({ data }) => server.send(data)); },
  count(server) { server.onmessage = () => server.send(String(++count)); },
  close(server) { server.onmessage = ({ data }) => { const [code, reason] = JSON.parse(data); server.close(code, reason); }; },
  hub(server) { server.onmessage = ({ data }) => { for (const other of open.values()) other.send(data); }; },
  flood(server) { server.onmessage = ({ data }) => { for (let n = 0; n < Number(data); n++) server.send(new Uint8Array(16384).fill(n)); }; },
  large(server) { server.onmessage = ({ data }) => server.send("x".repeat(Number(data))); },
  crash(server) { server.onmessage = () => { for (;;) count++; }; },
  blob(server) { server.binaryType = "blob"; server.onmessage = async ({ data }) => server.send(await data.text()); },
  later(server) { server.onmessage = ({ data }) => setTimeout(() => server.send("later " + data), 20); },
  first(server) { server.send("before the answer"); server.send("and more"); },
  throws(server) { server.onmessage = ({ data }) => { if (data === "throw") throw new Error("meant"); server.send(data); }; },
  attach(server) { server.serializeAttachment({ name: "kept" }); server.onmessage = () => server.send(server.deserializeAttachment().name + " " + server.readyState + " " + server.bufferedAmount); },
};

const pair = async () => { // nobody's but the machine's own
  const heard = [], { 0: a, 1: b } = new WebSocketPair();
  for (const [name, end] of [["a", a], ["b", b]]) {
    end.onmessage = ({ data }) => heard.push(`${name} hears ${typeof data === "string" ? data : `${data.byteLength} bytes`}`);
    end.addEventListener("close", ({ code, reason, wasClean }) => heard.push(`${name} closed ${code} ${reason} ${wasClean}`));
    end.accept();
  }
  a.send("one");
  a.send(new Uint8Array(2));
  b.send("two");
  a.close(3000, "done");
  await new Promise((resolve) => setTimeout(resolve, 1));
  heard.push(`${a.readyState} ${b.readyState}`);
  try { a.send("late"); } catch (error) { heard.push(String(error)); }
  return Response.json(heard);
};

export default {
  async fetch(request) {
    const url = new URL(request.url), kind = url.pathname.slice(1);
    if (kind === "log") return Response.json({ log: log.splice(0), open: [...open.keys()], count });
    if (kind === "say") { for (const other of open.values()) other.send("said"); return new Response("said"); }
    if (kind === "pair") return pair();
    if (kind === "plain") return new Response("plain");
    const { 0: client, 1: server } = new WebSocketPair();
    server.accept();
    const name = url.searchParams.get("name") ?? "";
    if (name) open.set(name, server);
    server.addEventListener("error", () => log.push(`${name} error`));
    server.addEventListener("close", ({ code, reason, wasClean }) => { open.delete(name); log.push(`${name} ${code} ${reason} ${wasClean}`); });
    kinds[kind]?.(server);
    const headers = new Headers({ "x-kind": kind });
    if (url.searchParams.has("protocol")) headers.set("sec-websocket-protocol", url.searchParams.get("protocol"));
    return new Response(null, { status: 101, webSocket: client, headers });
  },
};
