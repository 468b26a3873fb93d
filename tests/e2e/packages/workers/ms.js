import ms from "ms";

const answer = async (request) => {
return [ms("2 days"), ms(60000), ms(2 * 36e5, { long: true })];
};
export default { fetch: async (request) => Response.json(await answer(request)) };
