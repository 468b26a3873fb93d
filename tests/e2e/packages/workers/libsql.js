import { createClient } from "@libsql/client/web";
import { eq } from "drizzle-orm";
import { drizzle } from "drizzle-orm/libsql/web";
import { integer, sqliteTable, text } from "drizzle-orm/sqlite-core";

const answer = async (request) => {
const asked = [];
  const fetch = async (request) => {
    const { requests } = await request.json();
    asked.push(...requests.flatMap((each) => (each.stmt ? [each.stmt.sql] : [])));
    const result = { cols: [{ name: "id" }, { name: "name" }], rows: [[{ type: "integer", value: "1" }, { type: "text", value: "Kari" }]], affected_row_count: 0, last_insert_rowid: null };
    return Response.json({ baton: null, base_url: null, results: requests.map((each) => ({ type: "ok", response: { type: each.type, result: each.type === "execute" ? result : undefined } })) });
  };
  const users = sqliteTable("users", { id: integer("id").primaryKey(), name: text("name").notNull() });
  const db = drizzle(createClient({ url: "http://db.example", fetch }));
  const query = db.select().from(users).where(eq(users.name, "Kari"));
  return [query.toSQL(), await query, asked];
};
export default { fetch: async (request) => Response.json(await answer(request)) };
