import Decimal from "decimal.js";

const answer = async (request) => {
return [new Decimal("0.1").plus("0.2").toString(), Decimal.exp(1).toString(), Decimal.sqrt(2).toFixed(15), new Decimal(-1).acos().toString()];
};
export default { fetch: async (request) => Response.json(await answer(request)) };
