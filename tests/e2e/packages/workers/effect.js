import { Effect, Schedule } from "effect";

const answer = async (request) => {
let tries = 0;
  const flaky = Effect.suspend(() => (++tries < 3 ? Effect.fail("no") : Effect.succeed(tries)));
  return [await Effect.runPromise(Effect.retry(flaky, Schedule.recurs(5))), Effect.runSync(Effect.match(Effect.fail("e"), { onFailure: (error) => error, onSuccess: () => "" })), await Effect.runPromise(Effect.all([Effect.sleep("1 millis").pipe(Effect.as(1)), Effect.succeed(2)], { concurrency: 2 }))];
};
export default { fetch: async (request) => Response.json(await answer(request)) };
