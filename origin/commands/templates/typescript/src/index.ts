// The program begins here: package.json says so. esbuild makes one module of it and of what it imports.
import { GREETINGS, page } from "./page";

interface Env {
  NAME?: string;
}

export default {
  async fetch(request: Request, env: Env): Promise<Response> {
    const url = new URL(request.url);
    const name = url.searchParams.get("name") ?? env.NAME ?? "world";
    switch (url.pathname) {
      case "/":
        return new Response(page(GREETINGS.en, name), { headers: { "Content-Type": "text/html; charset=utf-8" } });
      case "/greetings":
        return Response.json(GREETINGS);
      default:
        return new Response("not found\n", { status: 404 });
    }
  },
};
