import pino from "pino/browser.js";

const answer = async (request) => {
const said = [];
  const log = pino({ browser: { asObject: true, write: ({ level, msg, a }) => said.push([level, msg, a]) } });
  log.info({ a: 1 }, "said");
  log.child({ b: 2 }).warn("again");
  return said;
};
export default { fetch: async (request) => Response.json(await answer(request)) };
