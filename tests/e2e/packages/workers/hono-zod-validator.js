// requests: [["POST", "/", {"Content-Type": "application/json"}, "{\"n\":4}"], ["POST", "/", {"Content-Type": "application/json"}, "{\"n\":\"4\"}"]]
import { zValidator } from "@hono/zod-validator";
import { Hono } from "hono";
import { z } from "zod";

export default new Hono().post("/", zValidator("json", z.object({ n: z.number() })), (c) => c.json({ twice: 2 * c.req.valid("json").n }));
