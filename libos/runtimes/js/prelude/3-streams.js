// Streams (the WHATWG Streams Standard) by lazy/streams.js, and sources: bodies that come from outside, of which a stream
// is made only when a worker asks for one.
//
// A source has pull(), which gives bytes, null at the end, or a promise of these, and cancel(reason); `stream` once one was
// made of it, and `taken` once somebody reads it without. What pull() throws ends it.
"use strict";
(() => {
  const share = globalThis.__share, { bytesOf, nk } = share;
  const streams = share.part("streams");
  const { ReadableStream, TransformStream } = streams;
  const NativePromise = Promise;
  share.expose(streams);
  for (const name in streams) share.platform.push(streams[name]);
  // Their iterators are async iterators of the engine, too, and have what those will have.
  const iterator = Object.getPrototypeOf(new ReadableStream().values());
  delete iterator[Symbol.asyncIterator];
  Object.setPrototypeOf(iterator, Object.getPrototypeOf(Object.getPrototypeOf(async function* () {}).prototype));

  const sources = new WeakMap(); // of the streams made here
  const pass = (source, controller, part) => {
    while (part !== null && part.length === 0) {
      part = source.pull();
      if (part instanceof NativePromise) return arrive(source, controller, part);
    }
    if (part !== null) return controller.enqueue(part);
    controller.close();
    controller.byobRequest?.respond(0);
  };
  const arrive = async (source, controller, part) => pass(source, controller, await part);
  share.streamOf = (source) => {
    const stream = new ReadableStream({
      type: "bytes",
      pull(controller) {
        const part = source.pull();
        return part instanceof NativePromise ? arrive(source, controller, part) : pass(source, controller, part);
      },
      cancel: (reason) => source.cancel(reason),
    }, { highWaterMark: 0 });
    sources.set(stream, source);
    return (source.stream = stream);
  };
  share.disturbed = (stream) => stream._disturbed;
  // The source of a stream that nobody has begun to read, to be read in its place: the stream is locked and disturbed from
  // then on. null: it has none.
  share.takeSource = (stream) => {
    const source = sources.get(stream);
    if (source === undefined || stream._disturbed || stream.locked) return null;
    stream.getReader();
    stream._disturbed = true;
    return source;
  };
  share.source = (pull, cancel) => ({ pull, cancel, stream: null, taken: false, wire: null });
  share.bytesSource = (bytes) => share.source(
    () => { const part = bytes; bytes = null; return part === null || part.length ? part : null; },
    () => { bytes = null; },
  );
  share.sourceFrom = (body) => { // a source, or a stream
    if (!(body instanceof ReadableStream)) return body;
    const reader = body.getReader();
    return share.source(async () => {
      const { value, done } = await reader.read();
      if (done) return null;
      const bytes = bytesOf(value);
      if (bytes) return bytes;
      const error = new TypeError("A body's stream may have bytes only as chunks");
      reader.cancel(error).catch(() => {});
      throw error;
    }, (reason) => reader.cancel(reason));
  };

  class IdentityTransformStream extends TransformStream {}

  class TextEncoderStream {
    #transform; #half = "";
    constructor() {
      this.#transform = new TransformStream({
        transform: (chunk, controller) => {
          const text = this.#half + `${chunk}`, last = text.charCodeAt(text.length - 1);
          const whole = last >= 0xd800 && last < 0xdc00 ? text.length - 1 : text.length; // the other half may follow
          this.#half = text.slice(whole);
          if (whole) controller.enqueue(nk.encode(text.slice(0, whole)));
        },
        flush: (controller) => { if (this.#half) controller.enqueue(nk.encode(this.#half)); },
      });
    }
    get encoding() { return this.#transform && "utf-8"; }
    get readable() { return this.#transform.readable; }
    get writable() { return this.#transform.writable; }
  }

  class TextDecoderStream {
    #transform; #decoder;
    constructor(label = "utf-8", options = undefined) {
      const decoder = (this.#decoder = new TextDecoder(label, options));
      this.#transform = new TransformStream({
        transform(chunk, controller) {
          const bytes = bytesOf(chunk);
          if (!bytes) throw new TypeError("TextDecoderStream: an ArrayBuffer or a view of one expected");
          const text = decoder.decode(bytes, { stream: true });
          if (text) controller.enqueue(text);
        },
        flush(controller) { const text = decoder.decode(); if (text) controller.enqueue(text); },
      });
    }
    get encoding() { return this.#decoder.encoding; }
    get fatal() { return this.#decoder.fatal; }
    get ignoreBOM() { return this.#decoder.ignoreBOM; }
    get readable() { return this.#transform.readable; }
    get writable() { return this.#transform.writable; }
  }
  share.interfaces({ IdentityTransformStream, TextEncoderStream, TextDecoderStream });
})();
