import * as oauth from "oauth4webapi";

const answer = async (request) => {
return [await oauth.calculatePKCECodeChallenge("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"), oauth.generateRandomState().length, oauth.None()(...[{}, { client_id: "c" }, new URLSearchParams(), new Headers()]) ?? null];
};
export default { fetch: async (request) => Response.json(await answer(request)) };
