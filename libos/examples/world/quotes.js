// One of many small APIs: `nunatak world` gives each a NAME. Its table is made while the image is built. GET / is all of it
// as JSON, GET /?max=CENTS what costs no more; a POST is confirmed with its size and checksum.

const fnv = (bytes, sum = 2166136261) => {
  for (const byte of bytes) sum = Math.imul(sum ^ byte, 16777619) >>> 0;
  return sum;
};

const items = [];
let visits = 0;

function fill(name) {
  let sum = fnv(new TextEncoder().encode(name));
  for (let i = 0; i < 24; i++) {
    sum = fnv([i], sum);
    items.push({ number: sum % 10000, cents: 99 + (Math.floor(sum / 10000) % 9900) });
  }
}

export default {
  async fetch(request, env) {
    const name = env.NAME ?? "an API";
    if (items.length === 0) fill(name);
    const headers = { "X-World": name };
    if (request.method === "POST") {
      const body = new Uint8Array(await request.arrayBuffer());
      return Response.json({ name, bytes: body.length, sum: fnv(body) }, { headers });
    }
    const max = Number(new URL(request.url).searchParams.get("max")) || Infinity;
    return Response.json({ name, visits: ++visits, items: items.filter((item) => item.cents <= max) }, { headers });
  },
};
