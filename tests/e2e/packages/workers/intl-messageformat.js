import { IntlMessageFormat } from "intl-messageformat";

const answer = async (request) => {
return new IntlMessageFormat("{n, plural, one {# thing} other {# things}} at {at, date, long} for {price, number, ::currency/EUR}", "en-US").format({ n: 1234, at: new Date(0), price: 9.5 });
};
export default { fetch: async (request) => Response.json(await answer(request)) };
