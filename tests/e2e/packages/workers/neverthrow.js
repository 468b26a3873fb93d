import { ok, err, Result } from "neverthrow";

const answer = async (request) => {
const half = (n) => (n % 2 ? err(`odd: ${n}`) : ok(n / 2));
  return [half(4).map((n) => n + 1).unwrapOr(0), half(3).match((n) => n, (error) => error), Result.combine([ok(1), ok(2)])._unsafeUnwrap()];
};
export default { fetch: async (request) => Response.json(await answer(request)) };
