// requests: [["GET", "/a"], ["GET", "/b/c"]]
import { Hono } from "hono";
import { contextStorage, getContext } from "hono/context-storage";

const where = async () => { await null; return getContext().var.where; };
export default new Hono().use(contextStorage()).use(async (c, next) => { c.set("where", c.req.path); await next(); }).get("*", async (c) => c.text(await where()));
