// A chat and an echo over WebSockets: who is there, and what was said last, live in the machine's memory.

const NAME_MAX = 24;
const TEXT_MAX = 500; // characters
const KEPT = 50; // messages that a new client is shown

const people = new Map(); // socket -> name
const said = []; // {name, text}, oldest first

const tell = (message) => {
  const text = JSON.stringify(message);
  for (const socket of people.keys()) socket.send(text);
};
const names = () => [...people.values()].sort();

const enter = (socket, name) => {
  people.set(socket, name);
  socket.send(JSON.stringify({ kind: "before", said }));
  tell({ kind: "people", names: names() });
  socket.addEventListener("message", ({ data }) => {
    const text = String(data).slice(0, TEXT_MAX).trim();
    if (!text) return;
    said.push({ name, text });
    if (said.length > KEPT) said.shift();
    tell({ kind: "said", name, text });
  });
  socket.addEventListener("close", () => {
    people.delete(socket);
    tell({ kind: "people", names: names() });
  });
};

const echo = (socket) => socket.addEventListener("message", ({ data }) => socket.send(data));

const page = `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Chat</title><style>
  body { margin: 0; font: 16px/1.5 system-ui, sans-serif; color: #1f2933; background: #eef2f6 }
  main { max-width: 40rem; margin: 2rem auto; padding: 1.5rem; background: #fff; border-radius: 12px }
  h1 { margin: 0 0 .5rem; font-size: 1.3rem } #people { color: #627d98 } #said { min-height: 12rem; padding: 0; list-style: none }
  #said b { margin-right: .5rem } form { display: flex; gap: .5rem } input { flex: 1; font: inherit; padding: .4rem .6rem }
  button { font: inherit; padding: .4rem 1rem } #echo { color: #627d98; font-size: .9rem }
</style><main><h1>Chat</h1><p id="people">connecting</p><ul id="said"></ul>
<form><input id="text" maxlength="${TEXT_MAX}" autocomplete="off" placeholder="Say something"><button>Send</button></form>
<p id="echo"></p></main><script>
  const at = (path) => location.href.replace(/^http/, "ws").replace(/[?#].*/, "").replace(/[/]?$/, "/" + path);
  const me = new URLSearchParams(location.search).get("name") || "guest-" + Math.floor(Math.random() * 1000);
  const show = ({ name, text }) => {
    const line = document.createElement("li"), who = document.createElement("b");
    who.textContent = name;
    line.append(who, text);
    document.querySelector("#said").append(line);
  };
  const room = new WebSocket(at("room?name=" + encodeURIComponent(me)));
  room.onmessage = ({ data }) => {
    const message = JSON.parse(data);
    if (message.kind === "before") message.said.forEach(show);
    else if (message.kind === "said") show(message);
    else document.querySelector("#people").textContent = message.names.join(", ");
  };
  room.onclose = ({ code }) => { document.querySelector("#people").textContent = "closed (" + code + "); reload to come back"; };
  document.querySelector("form").onsubmit = (event) => {
    event.preventDefault();
    room.send(document.querySelector("#text").value);
    document.querySelector("#text").value = "";
  };
  const bytes = new Uint8Array([1, 2, 3]), echo = new WebSocket(at("echo")), began = performance.now();
  echo.binaryType = "arraybuffer";
  echo.onopen = () => echo.send(bytes);
  echo.onmessage = ({ data }) => {
    document.querySelector("#echo").textContent = data.byteLength + " bytes came back in " + (performance.now() - began).toFixed(0) + " ms";
    echo.close(1000, "done");
  };
</script></html>`;

export default {
  fetch(request) {
    const url = new URL(request.url), last = url.pathname.split("/").pop();
    if (last !== "room" && last !== "echo") return new Response(page, { headers: { "content-type": "text/html; charset=utf-8" } });
    if (request.headers.get("upgrade") !== "websocket") return new Response("a WebSocket expected\n", { status: 426, headers: { upgrade: "websocket" } });
    const [client, server] = Object.values(new WebSocketPair());
    server.accept();
    if (last === "echo") echo(server);
    else enter(server, (url.searchParams.get("name") || "somebody").slice(0, NAME_MAX));
    return new Response(null, { status: 101, webSocket: client });
  },
};
