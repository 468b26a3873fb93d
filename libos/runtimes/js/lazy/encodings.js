// Encodings other than UTF-8, by their labels. Those of East Asia have tables of their own, in a part for themselves.
import { TextDecoder, normalizeEncoding } from "@exodus/bytes/encoding-lite.js";
const EAST = ["big5", "euc-jp", "euc-kr", "gb18030", "gbk", "iso-2022-jp", "shift_jis"];
export default (share) => ({
  decoder(label, fatal, ignoreBOM) {
    const name = normalizeEncoding(label);
    if (name === null || name === "replacement") throw new RangeError(`The encoding label "${label}" is not supported`);
    const Decoder = EAST.includes(name) ? share.part("encodings-east").TextDecoder : TextDecoder;
    return new Decoder(name, { fatal, ignoreBOM });
  },
});
