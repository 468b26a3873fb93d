import { ed25519 } from "@noble/curves/ed25519.js";
import { bytesToHex } from "@noble/curves/utils.js";

const answer = async (request) => {
const key = new Uint8Array(32).fill(7), message = new Uint8Array([1, 2, 3]);
  const signature = ed25519.sign(message, key);
  return [bytesToHex(ed25519.getPublicKey(key)), bytesToHex(signature), ed25519.verify(signature, message, ed25519.getPublicKey(key))];
};
export default { fetch: async (request) => Response.json(await answer(request)) };
