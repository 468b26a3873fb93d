// requests: [["GET", "/token"], ["GET", "/set"], ["GET", "/get", {"Cookie": "a=b.forged"}], ["GET", "/verify?token=a.b.c"]]
import { Hono } from "hono";
import { getSignedCookie, setSignedCookie } from "hono/cookie";
import { sign, verify } from "hono/jwt";

const app = new Hono();
app.get("/token", async (c) => c.text(await sign({ sub: "kari", exp: 4102444800 }, "secret", "HS256")));
app.get("/verify", async (c) => c.json(await verify(c.req.query("token"), "secret", "HS256")));
app.get("/set", async (c) => { await setSignedCookie(c, "a", "b", "secret"); return c.text("set"); });
app.get("/get", async (c) => c.json(await getSignedCookie(c, "secret")));
app.onError((error, c) => c.text(error.name, 401));
export default app;
