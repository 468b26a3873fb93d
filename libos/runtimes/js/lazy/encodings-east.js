import { createMultibyteDecoder } from "@exodus/bytes/multi-byte.js";
export default () => ({ createMultibyteDecoder });
