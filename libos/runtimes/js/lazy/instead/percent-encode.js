// In place of @exodus/bytes within the part "url": queries are encoded as UTF-8, never as what a document is encoded in.
const encoder = new TextEncoder();
export const percentEncodeAfterEncoding = (encoding, text, set) => {
  let out = "";
  for (const sign of text) {
    if (sign > " " && sign < "\x7f" && !set.includes(sign)) { out += sign; continue; }
    for (const byte of encoder.encode(sign)) out += (byte < 16 ? "%0" : "%") + byte.toString(16).toUpperCase();
  }
  return out;
};
