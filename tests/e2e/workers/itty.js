import { AutoRouter, error, json } from "itty-router";

const router = AutoRouter();
router
  .get("/hello/:name", ({ name }) => `Hello, ${name}!`)
  .get("/json", () => ({ list: [1, 2, 3] }))
  .get("/query", ({ query }) => json(query))
  .post("/sum", async (request) => ({ sum: (await request.json()).reduce((a, b) => a + b, 0) }))
  .get("/refused", () => error(403, "not you"));
export default { ...router };
