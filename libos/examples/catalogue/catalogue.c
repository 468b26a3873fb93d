/*
 * The world's places over SQLite on a disk named "places", which edges fetch block by block as queries touch it.
 *
 *     GET /?q=oslo            by the beginning of any of their names, the largest first
 *     GET /?part=erlin        by any part of three letters or more
 *     GET /country/NO         the largest of a country
 *     GET /place/3143244      one, with all spellings of its name and what was noted here
 *     POST /place/3143244     notes the body's text, if the disk is copy-on-write
 *
 * JSON, or a page for people (Accept). A connection is opened, and its queries compiled, when the image is built; more
 * are made when requests meet, one for each at most.
 */
#include <nk_sqlite.h>

enum query { BY_NAME, BY_PART, BY_COUNTRY, PLACE, SPELLINGS, NOTES, NOTE, QUERIES };

#define COLUMNS "p.id, p.name, p.country, p.admin, p.latitude, p.longitude, p.population, p.timezone"

static const char *const texts[QUERIES] = {
    [BY_NAME] = "SELECT " COLUMNS " FROM (SELECT DISTINCT place FROM found WHERE folded >= ?1 AND folded < ?1 || "
                "char(0x10FFFF) ORDER BY population DESC LIMIT 20) AS f JOIN place AS p ON p.id = f.place "
                "ORDER BY p.population DESC",
    [BY_PART] = "SELECT " COLUMNS " FROM (SELECT rowid FROM part WHERE part MATCH '\"' || replace(?1, '\"', '') || '\"' "
                "LIMIT 200) AS f JOIN place AS p ON p.id = f.rowid ORDER BY p.population DESC LIMIT 20",
    [BY_COUNTRY] = "SELECT " COLUMNS " FROM place AS p WHERE country = ?1 ORDER BY population DESC LIMIT 20",
    [PLACE] = "SELECT " COLUMNS ", c.name AS country_name, c.capital FROM place AS p "
              "LEFT JOIN country AS c ON c.code = p.country WHERE p.id = ?1",
    [SPELLINGS] = "SELECT name FROM spelling WHERE place = ?1",
    [NOTES] = "SELECT at, text FROM note WHERE place = ?1 ORDER BY at",
    [NOTE] = "INSERT OR REPLACE INTO note VALUES (?1, unixepoch(), ?2)",
};

struct connection {
    struct connection *next; /* while nobody uses it */
    sqlite3 *database;
    sqlite3_stmt *queries[QUERIES];
};
static struct connection *idle;

static struct connection *connect(void) {
    struct connection *connection = idle;
    if (connection) {
        idle = connection->next;
        return connection;
    }
    connection = nk_calloc(1, sizeof *connection);
    if (!connection)
        return NULL;
    int code = nk_sqlite_open("places", &connection->database);
    for (int query = 0; code == SQLITE_OK && query < QUERIES; query++)
        code = sqlite3_prepare_v3(connection->database, texts[query], -1, SQLITE_PREPARE_PERSISTENT,
                                  &connection->queries[query], NULL);
    if (code == SQLITE_OK)
        return connection;
    nk_log("places: %s", sqlite3_errmsg(connection->database));
    for (int query = 0; query < QUERIES; query++)
        sqlite3_finalize(connection->queries[query]);
    sqlite3_close(connection->database);
    nk_free(connection);
    return NULL;
}

static void release(struct connection *connection) {
    connection->next = idle;
    idle = connection;
}

static void fail(nk_request *request, int status, const char *why) {
    nk_status(request, status);
    nk_header(request, "Content-Type", "text/plain; charset=utf-8");
    nk_printf(request, "%s\n", why);
}

static void value_json(nk_request *request, sqlite3_stmt *row, int column) {
    const char *text = (const char *)sqlite3_column_text(row, column);
    int type = sqlite3_column_type(row, column);
    if (type == SQLITE_NULL || !text)
        nk_printf(request, "null");
    else if (type == SQLITE_TEXT)
        nk_json(request, text);
    else
        nk_printf(request, "%s", text);
}

/* All rows as objects, `"name": [...]`; an SQLite code. */
static int rows_json(nk_request *request, const char *name, sqlite3_stmt *rows) {
    int code;
    nk_printf(request, "\"%s\": [", name);
    for (unsigned count = 0; (code = sqlite3_step(rows)) == SQLITE_ROW; count++) {
        nk_printf(request, count ? ",\n {" : "\n {");
        for (int column = 0; column < sqlite3_column_count(rows); column++) {
            nk_printf(request, "%s\"%s\": ", column ? ", " : "", sqlite3_column_name(rows, column));
            value_json(request, rows, column);
        }
        nk_printf(request, "}");
    }
    nk_printf(request, "]");
    return code;
}

/* All rows as a table; a place's name leads to its page. */
static int rows_page(nk_request *request, sqlite3_stmt *rows) {
    int code;
    nk_printf(request, "<table>\n<tr>");
    for (int column = 0; column < sqlite3_column_count(rows); column++)
        nk_printf(request, "<th>%s", sqlite3_column_name(rows, column));
    while ((code = sqlite3_step(rows)) == SQLITE_ROW) {
        nk_printf(request, "\n<tr>");
        for (int column = 0; column < sqlite3_column_count(rows); column++) {
            bool link = column == 1 && !strcmp(sqlite3_column_name(rows, 0), "id");
            const char *text = (const char *)sqlite3_column_text(rows, column);
            nk_printf(request, "<td>");
            if (link)
                nk_printf(request, "<a href=\"place/%s\">", (const char *)sqlite3_column_text(rows, 0));
            nk_html(request, text ? text : "");
            nk_printf(request, link ? "</a>" : "");
        }
    }
    nk_printf(request, "\n</table>\n");
    return code;
}

static bool wants_page(nk_request *request) {
    const char *accept = nk_var(request, "HTTP_ACCEPT");
    for (; accept && *accept; accept++)
        if (!strncmp(accept, "text/html", 9))
            return true;
    return false;
}

/* Lists of places: what a search found. */
static void answer(nk_request *request, struct connection *connection, enum query query, const char *word) {
    sqlite3_stmt *rows = connection->queries[query];
    int code;
    if (word)
        sqlite3_bind_text(rows, 1, word, -1, SQLITE_TRANSIENT);
    nk_header(request, "Vary", "Accept");
    if (wants_page(request)) {
        nk_header(request, "Content-Type", "text/html; charset=utf-8");
        nk_printf(request, "<!doctype html>\n<meta charset=\"utf-8\"><title>Places</title>\n"
                           "<style>body{font:16px sans-serif;margin:2em}td,th{padding-right:1em;text-align:left}</style>"
                           "\n<h1>Places</h1>\n<form><input name=\"q\" autofocus> <button>Search</button></form>\n");
        code = word ? rows_page(request, rows) : SQLITE_DONE;
    } else {
        nk_header(request, "Content-Type", "application/json");
        nk_printf(request, "{");
        code = word ? rows_json(request, "places", rows) : SQLITE_DONE;
        nk_printf(request, "}\n");
    }
    if (code != SQLITE_DONE)
        nk_log("query %d: %s", query, sqlite3_errmsg(connection->database));
    sqlite3_reset(rows);
}

static void place(nk_request *request, struct connection *connection, long long id) {
    static const enum query parts[] = {PLACE, SPELLINGS, NOTES};
    static const char *const names[] = {"place", "names", "notes"};
    bool page = wants_page(request);
    nk_header(request, "Vary", "Accept");
    nk_header(request, "Content-Type", page ? "text/html; charset=utf-8" : "application/json");
    nk_printf(request, page ? "<!doctype html>\n<meta charset=\"utf-8\"><title>Place</title>\n" : "{");
    for (unsigned part = 0; part < 3; part++) {
        sqlite3_stmt *rows = connection->queries[parts[part]];
        sqlite3_bind_int64(rows, 1, id);
        if (page)
            rows_page(request, rows);
        else {
            nk_printf(request, part ? ",\n" : "");
            rows_json(request, names[part], rows);
        }
        sqlite3_reset(rows);
    }
    nk_printf(request, page ? "" : "}\n");
}

static void note(nk_request *request, struct connection *connection, long long id) {
    char text[1000];
    size_t size = 0;
    ptrdiff_t got;
    while (size < sizeof text && (got = nk_read(request, text + size, sizeof text - size)) > 0)
        size += (size_t)got;
    sqlite3_stmt *insert = connection->queries[NOTE];
    sqlite3_bind_int64(insert, 1, id);
    sqlite3_bind_text(insert, 2, text, (int)size, SQLITE_TRANSIENT);
    int code = sqlite3_step(insert);
    sqlite3_reset(insert);
    if (code == SQLITE_DONE)
        nk_printf(request, "noted\n");
    else
        fail(request, code == SQLITE_READONLY ? 403 : code == SQLITE_FULL ? 507 : 503, sqlite3_errstr(code));
}

static long long number(const char *text) {
    long long value = 0;
    for (; *text >= '0' && *text <= '9' && value < 1LL << 40; text++)
        value = value * 10 + (*text - '0');
    return value;
}

static void handle(nk_request *request) {
    const char *path = nk_var(request, "PATH_INFO"), *method = nk_var(request, "REQUEST_METHOD");
    char word[200];
    struct connection *connection = connect();
    if (!connection)
        fail(request, 503, "the database cannot be read");
    else if (!strncmp(path, "/place/", 7) && !strcmp(method, "POST"))
        note(request, connection, number(path + 7));
    else if (!strncmp(path, "/place/", 7))
        place(request, connection, number(path + 7));
    else if (!strncmp(path, "/country/", 9))
        answer(request, connection, BY_COUNTRY, path + 9);
    else if (*path && strcmp(path, "/"))
        fail(request, 404, "try /?q=oslo");
    else if (nk_query(request, "part", word, sizeof word) >= 0)
        answer(request, connection, BY_PART, word);
    else if (nk_query(request, "q", word, sizeof word) > 0) {
        for (char *at = word; *at; at++)
            *at += *at >= 'A' && *at <= 'Z' ? 'a' - 'A' : 0;
        answer(request, connection, BY_NAME, word);
    } else
        answer(request, connection, BY_NAME, NULL);
    if (connection)
        release(connection);
}

int main(void) {
    struct connection *connection = connect();
    if (!connection)
        nk_exit(1);
    release(connection);
    return nk_serve(handle);
}
