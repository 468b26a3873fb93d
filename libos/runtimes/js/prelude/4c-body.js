// What Request and Response share (the Fetch Standard, section 2.2.4): a body is null, a string, bytes, a source
// (3-streams.js) or a stream. A stream is made of the others only when somebody asks for one.
"use strict";
(() => {
  const share = globalThis.__share, { nk, bytesOf, concat } = share;
  const NativePromise = Promise, { ReadableStream } = globalThis;
  const UTF_8_TEXT = "text/plain;charset=UTF-8";

  const WHOLE = 3; // of a machine's memory, as a divisor: a body that is read whole is there twice for a moment
  const PLACED = 1 << 16; // bytes from which on a body's place is made before it comes

  const tooLarge = (most) => new RangeError(`a body of at most ${most} bytes can be read whole in a machine of ${Math.ceil(nk.memory() / (1 << 21)) * 2} MiB: read it as a stream, or build with --memory`);

  // What a body is collected in. Where its size is known, it is put in its place as it comes: it is never there twice.
  const collector = (said) => {
    const most = Math.floor(nk.memory() / WHOLE);
    if (said > most) throw tooLarge(most);
    return { parts: [], size: 0, most, said, place: said > PLACED && said <= most ? new Uint8Array(said) : null };
  };
  const collect = (all, bytes) => {
    if (all.place !== null && all.size + bytes.byteLength <= all.said) all.place.set(bytes, all.size);
    else all.parts[all.parts.length] = bytes;
    all.size += bytes.byteLength;
    if (all.size > all.most) { all.parts.length = 0; throw tooLarge(all.most); }
  };
  const whole = ({ parts, size, said, place }) => {
    if (place !== null) return parts.length ? concat([place, ...parts], size) : size === said ? place : place.subarray(0, size);
    return parts.length === 1 ? parts[0] : concat(parts, size);
  };
  const rest = async (source, all, part) => {
    for (let now = await part; now !== null; now = await source.pull()) collect(all, now);
    return whole(all);
  };
  const readSource = (source, said) => { // bytes, or a promise of them where not all are there
    const all = collector(said);
    source.taken = true;
    for (;;) {
      const part = source.pull();
      if (part instanceof NativePromise) return rest(source, all, part);
      if (part === null) return whole(all);
      collect(all, part);
    }
  };
  const contentType = (headers) => { // the last that is one
    const value = share.fieldOf(headers, "content-type");
    if (value === null) return null;
    const found = value.includes(",") ? value.match(/(?:"(?:[^"\\]|\\.)*"|[^,"])+/g) ?? [] : [value];
    for (let n = found.length - 1; n >= 0; n--) {
      const type = share.mimeType(found[n].trim());
      if (type !== "" && !type.startsWith("*/*")) return type;
    }
    return null;
  };

  class Body {
    #raw = null; #stream = null; #used = false; // the stream that was made of a string or of bytes
    static {
      // What is to be sent of a body: as above, a source also where a stream of it was made and not begun. It is used up.
      share.rawOf = (body) => body.#stream ?? body.#raw;
      share.use = (body) => { body.#used = true; };
      share.setRaw = (body, raw) => { body.#raw = raw; };
      share.takeRaw = (body) => {
        const raw = body.#stream ?? body.#raw;
        body.#used = raw !== null;
        return raw instanceof ReadableStream ? share.takeSource(raw) ?? raw : raw;
      };
      share.unusable = (body) => {
        if (body.#used) return true;
        const stream = body.#stream ?? body.#raw;
        return stream instanceof ReadableStream && (stream.locked || share.disturbed(stream));
      };
      share.setBody = (body, value) => body.#take(value);
      share.cloneBody = (from, to) => {
        if (share.unusable(from)) throw new TypeError("Cannot clone a body that has been used, or is locked.");
        let raw = from.#stream ?? from.#raw;
        if (raw !== null && typeof raw === "object" && raw.pull !== undefined) raw = share.streamOf(raw);
        if (raw instanceof ReadableStream) { [from.#raw, to.#raw] = raw.tee(); from.#stream = null; } else to.#raw = raw;
        return to;
      };
      share.moveBody = (from, to) => { // a request's to one that is made of it
        if (from.#raw === null) return;
        if (share.unusable(from)) throw new TypeError("Cannot construct a Request with a Request object that has already been used.");
        const raw = from.#stream ?? from.#raw;
        to.#raw = raw instanceof ReadableStream ? share.takeSource(raw) ?? raw.pipeThrough(new TransformStream()) : raw;
        from.#used = true;
      };
    }
    #take(body) { // what the constructor was given; the content type that follows from it
      if (typeof body === "string") { this.#raw = body; return UTF_8_TEXT; }
      const bytes = bytesOf(body);
      if (bytes) { this.#raw = bytes.slice(); return null; }
      if (body instanceof ReadableStream) {
        if (body.locked || share.disturbed(body)) throw new TypeError("This ReadableStream is disturbed (has already been read from), and cannot be used as a body.");
        this.#raw = body;
        return null;
      }
      if (body instanceof URLSearchParams) { this.#raw = body.toString(); return "application/x-www-form-urlencoded;charset=UTF-8"; }
      if (share.isBlob(body)) { this.#raw = share.blobBytes(body); return body.type || null; }
      if (body instanceof FormData) { const [data, type] = share.writeForm(body); this.#raw = data; return type; }
      this.#raw = share.text(body);
      return UTF_8_TEXT;
    }
    get body() {
      const raw = this.#raw;
      if (raw === null || raw instanceof ReadableStream) return raw;
      if (typeof raw === "string" || raw instanceof Uint8Array) return (this.#stream ??= share.spent(this.#used, share.streamOf(share.bytesSource(typeof raw === "string" ? nk.encode(raw) : raw.slice()))));
      return (this.#raw = share.spent(this.#used, share.streamOf(raw)));
    }
    get bodyUsed() {
      if (this.#used) return true;
      const stream = this.#stream ?? this.#raw;
      return stream instanceof ReadableStream && share.disturbed(stream);
    }
    #all() { // string, Uint8Array, or a promise of one
      if (this.#used || share.unusable(this)) throw new TypeError("Body has already been used. It can only be used once. Use tee() first if you need to read it twice.");
      const raw = this.#raw;
      if (raw === null) return "";
      this.#used = true;
      if (this.#stream !== null) share.takeSource(this.#stream);
      if (typeof raw === "string" || raw instanceof Uint8Array) return raw;
      return readSource(raw instanceof ReadableStream ? share.takeSource(raw) ?? share.sourceFrom(raw) : raw, Number(share.fieldOf(this.headers, "content-length")));
    }
    async #bytes() {
      let all = this.#all();
      if (all instanceof NativePromise) all = await all;
      if (typeof all === "string") return nk.encode(all);
      return all === this.#raw || all.byteLength !== all.buffer.byteLength ? all.slice() : all;
    }
    async text() {
      let all = this.#all();
      if (all instanceof NativePromise) all = await all;
      if (typeof all !== "string") all = nk.decode(all);
      else if (!all.isWellFormed()) all = all.toWellFormed();
      return all.charCodeAt(0) === 0xfeff ? all.slice(1) : all;
    }
    async json() { return JSON.parse(await this.text()); }
    async bytes() { return await this.#bytes(); }
    async arrayBuffer() { return (await this.#bytes()).buffer; }
    async blob() { const bytes = await this.#bytes(); return share.blobOf(bytes, contentType(this.headers) ?? ""); }
    async formData() { const bytes = await this.#bytes(); return share.readForm(bytes, contentType(this.headers)); }
  }
  // Of a body that is used up already: nobody else may read it.
  share.spent = (used, stream) => { if (used) share.takeSource(stream); return stream; };
  share.Body = Body;
})();
