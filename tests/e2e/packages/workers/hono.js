// requests: [["GET", "/?name=%3Cb%3E"], ["GET", "/api/users/7", {"Origin": "https://a.example"}], ["OPTIONS", "/api/users/7", {"Origin": "https://a.example", "Access-Control-Request-Method": "GET"}], ["GET", "/tagged"], ["GET", "/safe"], ["GET", "/private"], ["GET", "/private", {"Authorization": "Basic dTpw"}], ["POST", "/form", {"Content-Type": "application/x-www-form-urlencoded"}, "a=1&b=x+y"], ["GET", "/events"], ["GET", "/throw"], ["GET", "/nowhere"]]
import { Hono } from "hono";
import { basicAuth } from "hono/basic-auth";
import { cors } from "hono/cors";
import { etag } from "hono/etag";
import { html } from "hono/html";
import { secureHeaders } from "hono/secure-headers";
import { streamSSE } from "hono/streaming";

const app = new Hono();
app.use("/api/*", cors({ origin: "https://a.example" }));
app.use("/tagged", etag());
app.use("/safe", secureHeaders());
app.use("/private", basicAuth({ username: "u", password: "p" }));
app.get("/", (c) => c.html(html`<p>${c.req.query("name") ?? "<you>"}</p>`));
app.get("/api/users/:id{[0-9]+}", (c) => c.json({ id: Number(c.req.param("id")) }));
app.get("/tagged", (c) => c.text("tagged"));
app.get("/safe", (c) => c.text("safe"));
app.get("/private", (c) => c.text("in"));
app.post("/form", async (c) => c.json(await c.req.parseBody()));
app.get("/events", (c) => streamSSE(c, async (stream) => { for (const id of ["1", "2"]) await stream.writeSSE({ data: `n${id}`, id }); }));
app.onError((error, c) => c.text(error.message, 500));
app.get("/throw", () => { throw new Error("thrown"); });
export default app;
