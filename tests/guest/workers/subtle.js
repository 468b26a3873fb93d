// Does what the test's request says with crypto.subtle, and answers with the result or with the error's name. Bytes travel as
// {"hex": ...}; a key that an earlier step made is {"key": NUMBER}, a step's result {"of": NUMBER}.
const revive = (value, made) => {
  if (Array.isArray(value)) return value.map((item) => revive(item, made));
  if (typeof value !== "object" || value === null) return value;
  if (typeof value.hex === "string") return Uint8Array.fromHex(value.hex);
  if (typeof value.of === "number") return value.part ? made[value.of][value.part] : made[value.of];
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, revive(item, made)]));
};
const show = (value) => {
  if (value instanceof ArrayBuffer) return { hex: new Uint8Array(value).toHex() };
  if (value instanceof CryptoKey) return { type: value.type, extractable: value.extractable, algorithm: show(value.algorithm), usages: value.usages };
  if (value?.privateKey) return { privateKey: show(value.privateKey), publicKey: show(value.publicKey) };
  if (value instanceof Uint8Array) return { hex: value.toHex() };
  if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, show(item)]));
};
export default {
  async fetch(request) {
    const made = [], shown = [];
    for (const [operation, ...given] of await request.json()) {
      try {
        if (operation === "change") {
          const [key] = revive(given, made);
          key.usages.push("verify");
          key.algorithm.name = "AES-CBC";
          key.algorithm.hash.name = "SHA-1";
        }
        made.push(operation === "change" ? "changed" : await crypto.subtle[operation](...revive(given, made)));
        shown.push(show(made.at(-1)));
      } catch (error) {
        made.push(null);
        shown.push(`${error.name}: ${error.message}`);
      }
    }
    return Response.json(shown);
  },
};
