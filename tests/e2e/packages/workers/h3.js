// requests: [["GET", "/?a=1&a=2"], ["POST", "/", {"Content-Type": "application/json"}, "{\"a\":1}"], ["GET", "/text"], ["GET", "/nowhere"]]
import { H3, getQuery, readBody, toWebHandler } from "h3";

const app = new H3();
app.get("/", (event) => ({ query: getQuery(event) })).post("/", async (event) => ({ got: await readBody(event) })).get("/text", () => "text");
export default { fetch: (request) => app.fetch(request) };
