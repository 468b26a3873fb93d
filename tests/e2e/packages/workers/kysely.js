import { DummyDriver, Kysely, SqliteAdapter, SqliteIntrospector, SqliteQueryCompiler, sql } from "kysely";

const answer = async (request) => {
const db = new Kysely({ dialect: { createAdapter: () => new SqliteAdapter(), createDriver: () => new DummyDriver(), createIntrospector: (of) => new SqliteIntrospector(of), createQueryCompiler: () => new SqliteQueryCompiler() } });
  const query = db.selectFrom("users").innerJoin("pets", "pets.owner", "users.id").select(["users.id", sql`count(*)`.as("n")]).where("users.name", "in", ["a", "b"]).groupBy("users.id").compile();
  return [query.sql, query.parameters, await db.selectFrom("users").selectAll().execute()];
};
export default { fetch: async (request) => Response.json(await answer(request)) };
