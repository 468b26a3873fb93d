// CompressionStream and DecompressionStream (WHATWG, Compression Standard). What is read asks for what is written: a chunk is looked
// at when a reader wants bytes, and its write ends when they have all been read, so that a small chunk which decompresses to a
// large one costs a piece of it at a time.
import { interfaces } from "./common/classes.js";

export default ({ nk, bytesOf, deferred }) => {
  const NOTHING = new Uint8Array(0);

  const streams = (state) => {
    let reading = null, writing = null; // controllers
    let chunk = null, last = false; // what is being written
    let written = null, wanted = deferred(); // the end of that, and a chunk's arrival
    let over = false;

    const fail = (reason) => {
      if (over) return;
      over = true;
      chunk = null;
      reading.error(reason);
      writing.error(reason);
      written?.reject(reason);
      wanted.resolve();
    };
    const take = (bytes, end) => {
      chunk = bytes;
      last = end;
      written = deferred();
      wanted.resolve();
      return written.promise;
    };
    const done = () => {
      const ended = written;
      chunk = written = null;
      wanted = deferred();
      if (last) {
        over = true;
        reading.close();
      }
      ended.resolve();
    };
    const readable = new ReadableStream({
      start(controller) { reading = controller; },
      async pull() {
        while (!over) {
          if (chunk === null) await wanted.promise;
          if (over) return;
          let out, more;
          try { [out, more] = nk.coded(state, chunk, last); } catch (error) { return fail(error); }
          if (out !== null) reading.enqueue(new Uint8Array(out));
          if (!more) done();
          if (out !== null) return;
        }
      },
      cancel(reason) {
        if (over) return;
        over = true;
        writing.error(reason);
        written?.reject(reason);
        wanted.resolve();
      },
    }, { highWaterMark: 0 });
    const writable = new WritableStream({
      start(controller) { writing = controller; },
      write(value) {
        const bytes = bytesOf(value);
        if (bytes !== null && bytes.buffer instanceof ArrayBuffer) return take(bytes, false);
        const error = new TypeError("An ArrayBuffer or a view of one expected");
        fail(error);
        throw error;
      },
      close: () => take(NOTHING, true),
      abort: fail,
    });
    return { readable, writable };
  };

  const hidden = new WeakMap();
  const both = (it) => hidden.get(it) ?? (() => { throw new TypeError("Illegal invocation"); })();
  const begin = (it, name, format, compress) => {
    const state = nk.coder(String(format), compress);
    if (state === undefined) throw new TypeError(`${name}: "gzip", "deflate" or "deflate-raw" expected, got ${JSON.stringify(String(format))}`);
    hidden.set(it, streams(state));
  };
  return interfaces({
    CompressionStream: class {
      constructor(format) { begin(this, "CompressionStream", format, true); }
      get readable() { return both(this).readable; }
      get writable() { return both(this).writable; }
    },
    DecompressionStream: class {
      constructor(format) { begin(this, "DecompressionStream", format, false); }
      get readable() { return both(this).readable; }
      get writable() { return both(this).writable; }
    },
  });
};
