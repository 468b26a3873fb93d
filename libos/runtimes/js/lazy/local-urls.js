// What fetch() says of data: URLs (the Fetch Standard, section 6) and of blobs' URLs.
const NO_BYTES = new Uint8Array(0);
const decoded = (nk, text) => { // percent-decoded, as bytes
  const from = nk.encode(text), out = new Uint8Array(from.length);
  let size = 0;
  for (let n = 0; n < from.length; n++) {
    const pair = from[n] === 37 ? String.fromCharCode(from[n + 1], from[n + 2]) : "";
    if (/^[0-9a-fA-F]{2}$/.test(pair)) { out[size++] = parseInt(pair, 16); n += 2; } else out[size++] = from[n];
  }
  return out.slice(0, size);
};
const fail = (why) => { throw new TypeError(`fetch failed: ${why}`); };

export default (share) => {
  const respond = (url, type, bytes) => {
    const answer = share.fetchedResponse(200, "OK", ["content-type", type], url, false);
    share.setRaw(answer, bytes);
    return answer;
  };
  const dataUrl = (url) => {
    const comma = url.indexOf(",");
    if (comma < 0) fail("a comma expected in a data: URL");
    const base64 = /; *base64$/i;
    let type = url.slice("data:".length, comma).trim(), bytes = decoded(share.nk, url.slice(comma + 1));
    if (base64.test(type)) {
      type = type.replace(base64, "");
      try { bytes = Uint8Array.from(atob(share.nk.decode(bytes)), (sign) => sign.charCodeAt(0)); } catch { fail("base64 expected in a data: URL"); }
    }
    if (type.startsWith(";")) type = "text/plain" + type;
    return [`${share.part("mime").parse(type) ?? "text/plain;charset=US-ASCII"}`, bytes];
  };
  return {
    answer(request) {
      const url = request.url.split("#")[0];
      if (url.startsWith("data:")) {
        const [type, bytes] = dataUrl(url);
        return respond(url, type, request.method === "HEAD" ? NO_BYTES : bytes);
      }
      const blob = request.method === "GET" ? share.objectOf(url) : null;
      if (blob === null) fail("a blob that is there, and GET, expected");
      const answer = respond(url, blob.type, share.blobBytes(blob));
      share.listOf(answer.headers).push("content-length", String(blob.size));
      return answer;
    },
  };
};
