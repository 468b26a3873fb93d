// requests: [["GET", "/trpc/hello"], ["GET", "/trpc/nowhere"], ["GET", "/trpc/hello,hello?batch=1"]]
import { initTRPC } from "@trpc/server";
import { fetchRequestHandler } from "@trpc/server/adapters/fetch";

const t = initTRPC.create({ isDev: false });
const router = t.router({ hello: t.procedure.query(({ input }) => `hello ${input ?? "you"}`), fail: t.procedure.query(() => { throw new Error("failed"); }) });
export default { fetch: (request) => fetchRequestHandler({ endpoint: "/trpc", req: request, router }) };
