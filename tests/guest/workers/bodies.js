// Large heads, and bodies that are read whole.
export default {
  async fetch(request) {
    const url = new URL(request.url), size = Number(url.searchParams.get("size")), count = Number(url.searchParams.get("count") ?? 1);
    if (url.pathname === "/form") {
      const form = await request.formData(), file = form.get("file");
      const bytes = await file.bytes();
      return Response.json([file.size, file.name, bytes[0], bytes[bytes.length - 1], form.get("note")]);
    }
    if (url.pathname === "/whole") return new Response(String((await request.bytes()).length));
    const headers = new Headers({ "x-first": "first" });
    for (let n = 0; n < count; n++) headers.append(`x-${n}`, String(n % 10).repeat(size));
    if (url.pathname === "/stream") return new Response(new ReadableStream({ start(c) { c.enqueue(new TextEncoder().encode("streamed")); c.close(); } }), { headers });
    if (url.pathname === "/chunks") return new Response(new ReadableStream({ async start(c) { for (let n = 0; n < 8; n++) { c.enqueue(new Uint8Array(7000).fill(98)); if (n % 3 === 0) await null; } c.close(); } }), { headers });
    return new Response(url.pathname === "/body" ? "b".repeat(30000) : "ok", { headers });
  },
};
