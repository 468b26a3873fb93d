import Big from "big.js";

const answer = async (request) => {
return [new Big("0.1").plus("0.2").toString(), new Big(2).sqrt().toFixed(30), new Big("1e400").times(3).toString()];
};
export default { fetch: async (request) => Response.json(await answer(request)) };
