// node:stream: npm's readable-stream, which is Node's own.
export default () => {
  const stream = require("readable-stream/lib/stream.js");
  const { ReadableStream, WritableStream, TransformStream, ByteLengthQueuingStrategy, CountQueuingStrategy, TextEncoderStream, TextDecoderStream, CompressionStream, DecompressionStream } = globalThis;
  const web = { ReadableStream, WritableStream, TransformStream, ByteLengthQueuingStrategy, CountQueuingStrategy, TextEncoderStream, TextDecoderStream, CompressionStream, DecompressionStream };
  return { stream, "stream/promises": stream.promises, "stream/web": web };
};
