import { nanoid, customAlphabet } from "nanoid";
import { ulid, decodeTime } from "ulid";
import { v4, v5, validate } from "uuid";

const answer = async (request) => {
return [nanoid().length, customAlphabet("ab", 5)().length, ulid(5).slice(0, 10), decodeTime(ulid(5)), validate(v4()), v5("a.example", v5.DNS)];
};
export default { fetch: async (request) => Response.json(await answer(request)) };
