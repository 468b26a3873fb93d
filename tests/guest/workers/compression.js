// Puts chunks through a compression stream and answers with what came of it.
const errors = async (promise) => { try { return (await promise) ?? "done"; } catch (error) { return error?.name ?? String(error); } };

const through = async ({ stream, format, chunks }) => {
  const both = new globalThis[stream](format), writer = both.writable.getWriter(), reader = both.readable.getReader();
  const writes = chunks.map((chunk) => errors(writer.write(chunk === null ? "text" : Uint8Array.fromHex(chunk))));
  writes.push(errors(writer.close()));
  const pieces = [];
  let end = "done";
  try {
    for (let step; !(step = await reader.read()).done; ) pieces.push(step.value);
  } catch (error) { end = error.name; }
  return { pieces: pieces.map((piece) => piece.toHex()), end, writes: await Promise.all(writes) };
};
const counted = async ({ stream, format, chunks }) => { // how much comes out, and when the write of it ended
  const both = new globalThis[stream](format), writer = both.writable.getWriter(), reader = both.readable.getReader();
  let written = false, largest = 0, bytes = 0, reads = 0, before = 0;
  writer.write(Uint8Array.fromHex(chunks[0])).then(() => { written = true; });
  const closed = writer.close();
  for (let step; !(step = await reader.read()).done; reads++) {
    bytes += step.value.length;
    largest = Math.max(largest, step.value.length);
    if (!written) before++;
  }
  await closed;
  return { bytes, largest, reads, before };
};
const ended = async ({ stream, format }) => { // each side's end is the other's
  const one = new globalThis[stream](format), other = new globalThis[stream](format);
  const writer = one.writable.getWriter(), reader = other.readable.getReader();
  await one.readable.cancel(new RangeError("enough"));
  other.writable.abort(new RangeError("no more"));
  return [await errors(writer.write(new Uint8Array(1))), await errors(reader.read())];
};
const TASKS = { through, counted, ended };

export default {
  async fetch(request) {
    if (request.method === "GET") {
      const text = new ReadableStream({ start(controller) { for (let n = 0; n < 3; n++) controller.enqueue(new TextEncoder().encode(`line ${n}\n`)); controller.close(); } });
      return new Response(text.pipeThrough(new CompressionStream("gzip")));
    }
    const { task, ...given } = await request.json();
    return Response.json(await TASKS[task](given).catch((error) => error.name));
  },
};
