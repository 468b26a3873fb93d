import QRCode from "qrcode";

const answer = async (request) => {
return [(await QRCode.toString("hello", { type: "svg" })).length, QRCode.create("hello").modules.size];
};
export default { fetch: async (request) => Response.json(await answer(request)) };
