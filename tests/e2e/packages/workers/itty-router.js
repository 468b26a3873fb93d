// requests: [["GET", "/hello/Kari"], ["GET", "/json"], ["GET", "/no"], ["POST", "/sum", {}, "[1,2,39]"], ["GET", "/nowhere"]]
import { AutoRouter, error, json } from "itty-router";

const router = AutoRouter();
router.get("/hello/:name", ({ name }) => `hello ${name}`).get("/json", () => ({ a: 1 })).get("/no", () => error(403, "no")).post("/sum", async (request) => json((await request.json()).reduce((a, b) => a + b)));
export default router;
