import { z } from "zod";

const answer = async (request) => {
const User = z.object({ name: z.string().min(2), age: z.number().int().optional(), mail: z.email(), tags: z.array(z.enum(["a", "b"])).default([]) });
  return [User.safeParse({ name: "Kari", mail: "k@example.org" }), User.safeParse({ name: "K", mail: "no", age: 1.5 }).error.issues, z.coerce.date().parse("2026-01-02").toISOString(), z.toJSONSchema(User)];
};
export default { fetch: async (request) => Response.json(await answer(request)) };
