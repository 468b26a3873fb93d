// Encodings other than UTF-8, by their labels. Those of East Asia have tables of their own, in a part for themselves.
import { TextDecoder, isMultibyte, normalizeEncoding, setMultibyte } from "encodings-by-label";
let east = false;
export default (share) => ({
  decoder(label, fatal, ignoreBOM) {
    const name = normalizeEncoding(label);
    if (name === null || name === "replacement") throw new RangeError(`The encoding label "${label}" is not supported`);
    if (isMultibyte(name) && !east) {
      setMultibyte(share.part("encodings-east").createMultibyteDecoder);
      east = true;
    }
    return new TextDecoder(name, { fatal, ignoreBOM });
  },
});
