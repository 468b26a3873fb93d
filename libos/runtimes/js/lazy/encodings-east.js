import { TextDecoder } from "@exodus/bytes/encoding.js";
export default () => ({ TextDecoder });
