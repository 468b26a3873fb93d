import { firstValueFrom, from, interval, lastValueFrom } from "rxjs";
import { concatMap, delay, map, take, toArray } from "rxjs/operators";

const answer = async (request) => {
return [await lastValueFrom(interval(1).pipe(take(3), map((n) => n * 2), toArray())), await firstValueFrom(from([1, 2]).pipe(concatMap((n) => from([n, n]).pipe(delay(1))), toArray()))];
};
export default { fetch: async (request) => Response.json(await answer(request)) };
