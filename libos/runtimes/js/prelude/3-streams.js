// Streams (the WHATWG Streams Standard): default readers and writers, transforms, tee and pipes; no byte-stream readers.
"use strict";
(() => {
  const { expose, deferred, bytesOf, nk } = globalThis.__share;

  const quietly = async (promise) => { try { await promise; } catch {} };

  class ReadableStream {
    #queue = []; #state = "readable"; #error; #pulling = false; #again = false; #started = false; #waiting = []; #source; #closing = false;
    #reader = null; #closed = deferred(); #high; #disturbed = false; #wire = null;
    constructor(source = {}, strategy = {}) {
      this.#source = source;
      this.#high = strategy.highWaterMark ?? (source.type === "bytes" ? 0 : 1);
      this.#closed.promise.catch(() => {});
      this.#begin();
    }
    #controller = (() => {
      const stream = this;
      return {
        get desiredSize() { return stream.#state === "errored" ? null : stream.#state === "closed" ? 0 : stream.#high - stream.#queue.length; },
        enqueue(chunk) {
          if (stream.#state !== "readable" || stream.#closing) throw new TypeError("The stream is closed");
          if (stream.#waiting.length) stream.#waiting.shift().resolve({ value: chunk, done: false });
          else stream.#queue.push(chunk);
          stream.#pull();
        },
        close() {
          if (stream.#state !== "readable" || stream.#closing) throw new TypeError("The stream is closed");
          stream.#closing = true;
          if (!stream.#queue.length) stream.#finish();
        },
        error(reason) { stream.#fail(reason); },
        byobRequest: null,
      };
    })();
    async #begin() {
      try { await this.#source.start?.(this.#controller); this.#started = true; this.#pull(); } catch (error) { this.#fail(error); }
    }
    #finish() {
      this.#state = "closed";
      for (const waiting of this.#waiting.splice(0)) waiting.resolve({ value: undefined, done: true });
      this.#closed.resolve();
    }
    #fail(reason) {
      if (this.#state !== "readable") return;
      this.#state = "errored";
      this.#error = reason;
      this.#queue = [];
      for (const waiting of this.#waiting.splice(0)) waiting.reject(reason);
      this.#closed.reject(reason);
    }
    async #pull() {
      if (!this.#started || this.#state !== "readable" || this.#closing || !this.#source.pull) return;
      if (!this.#waiting.length && this.#queue.length >= this.#high) return;
      if (this.#pulling) { this.#again = true; return; }
      this.#pulling = true;
      try { await this.#source.pull(this.#controller); } catch (error) { this.#fail(error); }
      this.#pulling = false;
      if (this.#again) { this.#again = false; this.#pull(); }
    }
    _read() {
      this.#disturbed = true;
      if (this.#queue.length) {
        const value = this.#queue.shift();
        if (this.#closing && !this.#queue.length) this.#finish(); else this.#pull();
        return Promise.resolve({ value, done: false });
      }
      if (this.#state === "closed") return Promise.resolve({ value: undefined, done: true });
      if (this.#state === "errored") return Promise.reject(this.#error);
      const waiting = deferred();
      this.#waiting.push(waiting);
      this.#pull();
      return waiting.promise;
    }
    async _cancel(reason) {
      this.#disturbed = true;
      if (this.#state === "closed") return;
      if (this.#state === "errored") throw this.#error;
      this.#queue = [];
      this.#finish();
      await this.#source.cancel?.(reason);
    }
    get _closed() { return this.#closed.promise; }
    get _disturbed() { return this.#disturbed; }
    get _wire() { return this.#wire; } // of a body that fetch() takes apart: {coding, stream}, as it came
    set _wire(wire) { this.#wire = wire; }
    get _open() { return this.#state === "readable" && !this.#closing; }
    _release() { this.#reader = null; }
    get locked() { return this.#reader !== null; }
    getReader(options) {
      if (options?.mode === "byob") throw new TypeError("byob readers are not supported");
      if (this.#reader) throw new TypeError("This ReadableStream is currently locked to a reader.");
      return (this.#reader = new ReadableStreamDefaultReader(this));
    }
    cancel(reason) { return this.locked ? Promise.reject(new TypeError("The stream is locked")) : this._cancel(reason); }
    tee() {
      const reader = this.getReader();
      let reading = null;
      const controllers = [null, null], reasons = [undefined, undefined], cancelled = deferred();
      const each = (act) => { for (let n = 0; n < 2; n++) if (controllers[n] !== null) act(controllers[n]); }; // that wants more
      const branch = (n) => new ReadableStream({
        start(controller) { controllers[n] = controller; },
        async pull() {
          await (reading ??= (async () => {
            try {
              const { value, done } = await reader.read();
              each((controller) => { if (!done) controller.enqueue(value); else controller.close(); });
              if (done) cancelled.resolve();
            } catch (error) { each((controller) => controller.error(error)); cancelled.resolve(); }
            reading = null;
          })());
        },
        cancel(reason) {
          controllers[n] = null;
          reasons[n] = reason;
          if (controllers[1 - n] === null) (async () => { try { cancelled.resolve(await reader.cancel(reasons)); } catch (error) { cancelled.reject(error); } })();
          return cancelled.promise;
        },
      }, { highWaterMark: 0 });
      return [branch(0), branch(1)];
    }
    async pipeTo(writable, { preventClose = false, preventAbort = false, preventCancel = false, signal } = {}) {
      const reader = this.getReader(), writer = writable.getWriter();
      let end = null, interrupt = null; // end: {error} of the destination's side, or of the signal; also while the source is quiet
      const stop = (error, from) => { end ??= { error, from }; interrupt?.(end.error); };
      const abort = () => stop(signal.reason, "signal");
      const step = (promise) => { // waits, but no longer than until the end
        if (end) throw end.error;
        const { promise: settled, resolve, reject } = deferred();
        interrupt = reject;
        (async () => { try { resolve(await promise); } catch (error) { reject(error); } })();
        return settled;
      };
      (async () => { try { await writer.closed; stop(new TypeError("The destination is closed"), "destination"); } catch (error) { stop(error, "destination"); } })();
      if (signal?.aborted) abort(); else signal?.addEventListener("abort", abort);
      try {
        for (;;) {
          await step(writer.ready);
          const { value, done } = await step(reader.read());
          if (done) break;
          quietly(writer.write(value)); // an error of it is the destination's: it is closed with that
        }
        if (!preventClose) await writer.close();
        else await writer._settled;
        if (end && (preventClose || end.from !== "destination")) throw end.error;
      } catch (error) {
        if (!preventAbort && end?.from !== "destination") await quietly(writer.abort(error));
        if (!preventCancel && end) await quietly(reader.cancel(error));
        throw error;
      } finally {
        interrupt = null;
        signal?.removeEventListener("abort", abort);
        reader.releaseLock();
        writer.releaseLock();
      }
    }
    pipeThrough({ writable, readable }, options) { quietly(this.pipeTo(writable, options)); return readable; }
    async *values({ preventCancel = false } = {}) {
      const reader = this.getReader();
      let done = false;
      try {
        for (;;) {
          const part = await reader.read();
          if (part.done) { done = true; return; }
          yield part.value;
        }
      } finally { if (!done && !preventCancel) await reader.cancel(); reader.releaseLock(); }
    }
    [Symbol.asyncIterator](options) { return this.values(options); }
    static from(iterable) {
      const iterator = iterable[Symbol.asyncIterator]?.() ?? iterable[Symbol.iterator]();
      return new ReadableStream({
        async pull(controller) { const { value, done } = await iterator.next(); done ? controller.close() : controller.enqueue(value); },
        async cancel(reason) { await iterator.return?.(reason); },
      }, { highWaterMark: 0 });
    }
    get [Symbol.toStringTag]() { return "ReadableStream"; }
  }
  class ReadableStreamDefaultReader {
    #stream;
    constructor(stream) { this.#stream = stream; }
    get closed() { return this.#stream ? this.#stream._closed : Promise.reject(new TypeError("The reader was released")); }
    read() { return this.#stream ? this.#stream._read() : Promise.reject(new TypeError("The reader was released")); }
    cancel(reason) { return this.#stream ? this.#stream._cancel(reason) : Promise.reject(new TypeError("The reader was released")); }
    releaseLock() { this.#stream?._release(); this.#stream = null; }
  }

  class WritableStream {
    #sink; #state = "writable"; #error; #tail = Promise.resolve(); #writer = null; #closed = deferred(); #waiting = 0; #high; #ready = deferred();
    constructor(sink = {}, strategy = {}) {
      this.#sink = sink;
      this.#high = strategy.highWaterMark ?? 1;
      this.#closed.promise.catch(() => {});
      this.#ready.resolve();
      const stream = this;
      this.#controller = { error(reason) { stream._fail(reason); }, signal: new AbortController().signal };
      this.#tail = (async () => { try { await sink.start?.(this.#controller); } catch (error) { this._fail(error); } })();
    }
    #controller;
    _fail(reason) {
      if (this.#state === "errored" || this.#state === "closed") return;
      this.#state = "errored";
      this.#error = reason;
      this.#closed.reject(reason);
      this.#ready.resolve();
    }
    #then(work) { // one after the other
      const before = this.#tail;
      const mine = (async () => {
        await before;
        if (this.#state === "errored") throw this.#error;
        try { await work(); } catch (error) { this._fail(error); throw error; }
      })();
      this.#tail = (async () => { try { await mine; } catch {} })();
      return mine;
    }
    _write(chunk) {
      if (this.#state !== "writable") return Promise.reject(this.#state === "errored" ? this.#error : new TypeError("The stream is closed"));
      if (++this.#waiting >= this.#high) this.#ready = deferred();
      return this.#then(async () => {
        try { await this.#sink.write?.(chunk, this.#controller); } finally { if (--this.#waiting < this.#high) this.#ready.resolve(); }
      });
    }
    _close() {
      if (this.#state !== "writable") return Promise.reject(this.#state === "errored" ? this.#error : new TypeError("The stream is closed"));
      this.#state = "closing";
      return this.#then(async () => { await this.#sink.close?.(); this.#state = "closed"; this.#closed.resolve(); });
    }
    async _abort(reason) {
      if (this.#state === "closed" || this.#state === "errored") return;
      this._fail(reason);
      await this.#sink.abort?.(reason);
    }
    get _failed() { return this.#state === "errored"; }
    get _closed() { return this.#closed.promise; }
    get _ready() { return this.#ready.promise; }
    get _settled() { return this.#tail; } // what was written so far is done
    get _desired() { return this.#state === "errored" ? null : this.#state === "closed" ? 0 : this.#high - this.#waiting; }
    _release() { this.#writer = null; }
    get locked() { return this.#writer !== null; }
    getWriter() {
      if (this.#writer) throw new TypeError("This WritableStream is currently locked to a writer.");
      return (this.#writer = new WritableStreamDefaultWriter(this));
    }
    close() { return this._close(); }
    abort(reason) { return this._abort(reason); }
    get [Symbol.toStringTag]() { return "WritableStream"; }
  }
  class WritableStreamDefaultWriter {
    #stream;
    constructor(stream) { this.#stream = stream; }
    get closed() { return this.#stream._closed; }
    get ready() { return this.#stream._ready; }
    get desiredSize() { return this.#stream._desired; }
    get _settled() { return this.#stream._settled; }
    write(chunk) { return this.#stream ? this.#stream._write(chunk) : Promise.reject(new TypeError("The writer was released")); }
    close() { return this.#stream._close(); }
    abort(reason) { return this.#stream._abort(reason); }
    releaseLock() { this.#stream?._release(); this.#stream = null; }
  }

  class TransformStream {
    constructor(transformer = {}, writableStrategy = {}, readableStrategy = {}) {
      let controller, pulled = deferred(), wanted = false; // wanted: the reader's side has taken all that was passed on, and asks for more
      const want = () => { wanted = true; pulled.resolve(); pulled = deferred(); };
      const fail = (reason) => { this.writable._fail(reason); want(); };
      this.readable = new ReadableStream({
        start(c) { controller = c; },
        pull: want,
        cancel: (reason) => { fail(reason ?? new TypeError("The readable side was cancelled")); return transformer.cancel?.(reason); },
      }, { highWaterMark: readableStrategy.highWaterMark ?? 0 });
      const own = {
        get desiredSize() { return controller.desiredSize; },
        enqueue: (chunk) => { wanted = false; controller.enqueue(chunk); },
        error: (reason) => { controller.error(reason); fail(reason); },
        terminate: () => { controller.close(); fail(new TypeError("The stream was terminated")); },
      };
      this.writable = new WritableStream({
        start: () => transformer.start?.(own),
        write: async (chunk) => {
          while (controller.desiredSize <= 0 && !wanted && !this.writable._failed) await pulled.promise;
          if (this.writable._failed) return;
          try { transformer.transform ? await transformer.transform(chunk, own) : own.enqueue(chunk); } catch (error) { controller.error(error); throw error; }
        },
        close: async () => {
          try { await transformer.flush?.(own); if (this.readable._open) controller.close(); } catch (error) { controller.error(error); throw error; }
        },
        abort: (reason) => { controller.error(reason); return transformer.cancel?.(reason); },
      }, writableStrategy);
    }
    get [Symbol.toStringTag]() { return "TransformStream"; }
  }
  class IdentityTransformStream extends TransformStream {}
  class TextEncoderStream extends TransformStream {
    constructor() { super({ transform: (chunk, c) => c.enqueue(nk.encode(String(chunk))) }); }
    get encoding() { return "utf-8"; }
  }
  class TextDecoderStream extends TransformStream {
    constructor(label, options) {
      const decoder = new TextDecoder(label, options);
      super({
        transform(chunk, c) { const text = decoder.decode(bytesOf(chunk), { stream: true }); if (text) c.enqueue(text); },
        flush(c) { const text = decoder.decode(); if (text) c.enqueue(text); },
      });
    }
    get encoding() { return "utf-8"; }
  }
  class CountQueuingStrategy { constructor({ highWaterMark }) { this.highWaterMark = highWaterMark; } size() { return 1; } }
  class ByteLengthQueuingStrategy { constructor({ highWaterMark }) { this.highWaterMark = highWaterMark; } size(chunk) { return chunk.byteLength; } }
  expose({
    ReadableStream, ReadableStreamDefaultReader, WritableStream, WritableStreamDefaultWriter, TransformStream, IdentityTransformStream,
    TextEncoderStream, TextDecoderStream, CountQueuingStrategy, ByteLengthQueuingStrategy,
  });
})();
