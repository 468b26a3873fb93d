import nacl from "tweetnacl";

const answer = async (request) => {
const key = new Uint8Array(32).fill(1), nonce = new Uint8Array(24), box = nacl.secretbox(new Uint8Array([1, 2, 3]), nonce, key);
  return [[...box], [...nacl.secretbox.open(box, nonce, key)], nacl.hash(new Uint8Array(1)).length];
};
export default { fetch: async (request) => Response.json(await answer(request)) };
