// Server-sent events: the next one goes out when `/next` is asked for, so that nobody needs to wait for a clock.
const waiting = [];

const page = `<!doctype html><html lang="en"><meta charset="utf-8"><title>Events</title><ol id="events"></ol><p id="state">none</p>
<script>
  const source = new EventSource("/events");
  const say = (text) => { document.querySelector("#state").textContent = text; };
  source.onopen = () => say("open");
  source.onerror = () => say("closed");
  source.addEventListener("news", ({ data, lastEventId }) => {
    const line = document.createElement("li");
    line.textContent = lastEventId + " " + data;
    document.querySelector("#events").append(line);
  });
</script></html>`;

const events = () => {
  let number = 0;
  const encoder = new TextEncoder();
  const body = new ReadableStream({
    start: (controller) => controller.enqueue(encoder.encode(": hello\n\n")),
    async pull(controller) {
      await new Promise((go) => waiting.push(go));
      controller.enqueue(encoder.encode(`event: news\nid: ${++number}\ndata: event ${number}\n\n`));
    },
  }, { highWaterMark: 0 });
  return new Response(body, { headers: { "content-type": "text/event-stream", "cache-control": "no-store" } });
};

export default {
  fetch(request) {
    const path = new URL(request.url).pathname;
    if (path === "/events") return events();
    if (path === "/next") return new Response(String(waiting.splice(0).map((go) => go()).length));
    return new Response(page, { headers: { "content-type": "text/html; charset=utf-8" } });
  },
};
