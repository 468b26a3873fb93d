import CryptoJS from "crypto-js";

const answer = async (request) => {
const key = CryptoJS.enc.Hex.parse("000102030405060708090a0b0c0d0e0f");
  return [CryptoJS.MD5("abc").toString(), CryptoJS.HmacSHA256("m", "k").toString(CryptoJS.enc.Base64), CryptoJS.AES.encrypt("text", key, { iv: key }).toString(), CryptoJS.PBKDF2("p", "s", { keySize: 4, iterations: 5 }).toString()];
};
export default { fetch: async (request) => Response.json(await answer(request)) };
