import BigNumber from "bignumber.js";

const answer = async (request) => {
return [new BigNumber("0.1").plus("0.2").toFormat(), new BigNumber(2).pow(200).toString(10), new BigNumber(255).toString(16), new BigNumber("1234567.891").toFormat(2)];
};
export default { fetch: async (request) => Response.json(await answer(request)) };
