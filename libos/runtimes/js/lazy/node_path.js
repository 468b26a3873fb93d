// node:path and node:string_decoder, as npm has them.
import path from "path-browserify";
import { StringDecoder } from "string_decoder/";

export default () => ({ path: Object.assign(path, { posix: path }), "path/posix": path, string_decoder: { StringDecoder } });
