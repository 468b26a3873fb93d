// node:buffer, and the global `Buffer`: npm's buffer, with what came to Node's since.
import { Buffer, SlowBuffer, INSPECT_MAX_BYTES, kMaxLength } from "buffer";

// The package has no base64url, and does UTF-8 by itself: the platform does that in C.
const { nk } = share;
const { toString } = Buffer.prototype;
const { from, isEncoding, byteLength } = Buffer;
const utf8 = new TextDecoder("utf-8", { ignoreBOM: true });
const isUtf8Name = (name) => name === undefined || name === "utf8" || name === "utf-8";
const urlSafe = (text) => text.replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
const plainName = (name) => (name === "base64url" ? "base64" : name); // its reader takes both alphabets
Buffer.prototype.toString = function (encoding, start = 0, end = this.length) {
  if (isUtf8Name(encoding)) return utf8.decode(start === 0 && end >= this.length ? this : this.subarray(start, end));
  const text = Reflect.apply(toString, this, [plainName(encoding), start, end]);
  return encoding === "base64url" ? urlSafe(text) : text;
};
Buffer.from = (value, encoding, ...rest) => {
  if (typeof value !== "string") return from(value, encoding, ...rest);
  return isUtf8Name(encoding) ? Object.setPrototypeOf(nk.encode(value.toWellFormed()), Buffer.prototype) : from(value, plainName(encoding));
};
Buffer.isEncoding = (name) => isEncoding(plainName(name));
Buffer.byteLength = (value, encoding) => byteLength(value, plainName(encoding));
Buffer.copyBytesFrom = (view, offset = 0, length = view.length - offset) => {
  const part = view.subarray(offset, offset + length);
  return Buffer.from(part.buffer.slice(part.byteOffset, part.byteOffset + part.byteLength));
};
Buffer.poolSize = 8192;

const isUtf8 = (bytes) => { try { new TextDecoder("utf-8", { fatal: true }).decode(bytes); return true; } catch { return false; } };
const isAscii = (bytes) => share.bytesOf(bytes).every((byte) => byte < 128);
const transcode = (bytes, from, to) => Buffer.from(Buffer.from(bytes).toString(from), to);
const { Blob, File, atob, btoa } = globalThis;
const constants = { MAX_LENGTH: kMaxLength, MAX_STRING_LENGTH: 0x1fffffff };
const buffer = { Buffer, SlowBuffer, INSPECT_MAX_BYTES, kMaxLength, kStringMaxLength: constants.MAX_STRING_LENGTH, constants, isUtf8, isAscii, transcode, Blob, File, atob, btoa };
export default () => ({ buffer, Buffer });
