import { parse } from "csv-parse/browser/esm/sync";

const answer = async (request) => {
return parse("a;b\n1;\"x\ny\"\n", { columns: true, delimiter: ";" });
};
export default { fetch: async (request) => Response.json(await answer(request)) };
