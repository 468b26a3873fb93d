// requests: [["GET", "/"], ["GET", "/users/7"], ["POST", "/", {"Content-Type": "application/json"}, "{\"a\":1}"], ["GET", "/nowhere"]]
import { Elysia } from "elysia";

const app = new Elysia({ aot: false }).get("/", () => "hello").get("/users/:id", ({ params }) => params).post("/", ({ body }) => body);
export default { fetch: (request) => app.fetch(request) };
