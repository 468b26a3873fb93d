// A worker file under Node: PORT=N node node.mjs WORKER
import http from "node:http";
const { default: worker } = await import(process.argv[2]);
process.on("uncaughtException", () => {});
process.on("unhandledRejection", () => {});
const { text } = Response.prototype, Asked = Request;
http.createServer(async (request, response) => {
  try {
    const answer = await worker.fetch(new Asked(`http://127.0.0.1${request.url}`), {}, { waitUntil() {} });
    response.writeHead(200, { "content-type": "application/json" }).end(await text.call(answer));
  } catch (error) { response.writeHead(500).end(String(error?.stack)); }
}).listen(Number(process.env.PORT), "127.0.0.1");
