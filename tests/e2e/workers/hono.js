import { Hono } from "hono";
import { cors } from "hono/cors";
import { html } from "hono/html";
import { stream } from "hono/streaming";

const app = new Hono();
const names = ["Ivar", "Åse"];
app.use("/api/*", cors());
app.get("/", (c) => c.html(html`<h1>Hello ${c.req.query("name") ?? "nobody"}</h1>`));
app.get("/api/names", (c) => c.json(names));
app.get("/api/names/:n", (c) => (names[+c.req.param("n")] ? c.json({ name: names[+c.req.param("n")] }) : c.notFound()));
app.post("/api/names", async (c) => { names.push((await c.req.json()).name); return c.json({ count: names.length }, 201); });
app.get("/stream", (c) => stream(c, async (s) => { for (let n = 0; n < 3; n++) await s.write(`part ${n}\n`); }));
app.get("/env", (c) => c.text(c.env.COLOUR ?? "none"));
app.get("/throw", () => { throw new Error("boom"); });
app.onError((error, c) => c.text(`caught ${error.message}`, 500));
export default app;
