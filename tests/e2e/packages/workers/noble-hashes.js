import { sha256 } from "@noble/hashes/sha2.js";
import { hmac } from "@noble/hashes/hmac.js";
import { blake3 } from "@noble/hashes/blake3.js";
import { bytesToHex, utf8ToBytes } from "@noble/hashes/utils.js";

const answer = async (request) => {
return [sha256, blake3].map((hash) => bytesToHex(hash(utf8ToBytes("abc")))).concat(bytesToHex(hmac(sha256, utf8ToBytes("k"), utf8ToBytes("m"))));
};
export default { fetch: async (request) => Response.json(await answer(request)) };
