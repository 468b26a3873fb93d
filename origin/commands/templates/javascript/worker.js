// A page and a small API. What stands outside of fetch() runs once, while the image is built.
const GREETINGS = { en: "Hello", fr: "Bonjour", de: "Guten Tag" };

const escaped = (text) => text.replace(/[&<>"']/g, (character) => `&#${character.codePointAt(0)};`);

const page = (greeting, name) => `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>${escaped(greeting)}</title>
<h1>${escaped(greeting)}, ${escaped(name)}!</h1>
`;

export default {
  async fetch(request, env) {
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
