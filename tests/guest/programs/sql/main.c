/* Runs the SQL of the request's body on the disk "data" and answers with every row, values parted by | . */
#include <nk_sqlite.h>

static char sql[64 << 10];

static int row(void *argument, int columns, char **values, char **names) {
    nk_request *request = argument;
    (void)names;
    for (int column = 0; column < columns; column++)
        nk_printf(request, "%s%s", column ? "|" : "", values[column] ? values[column] : "NULL");
    nk_printf(request, "\n");
    return 0;
}

static void handle(nk_request *request) {
    sqlite3 *database;
    size_t size = 0;
    ptrdiff_t got;
    while (size < sizeof sql - 1 && (got = nk_read(request, sql + size, sizeof sql - 1 - size)) > 0)
        size += (size_t)got;
    sql[size] = 0;
    int code = nk_sqlite_open("data", &database);
    if (code == SQLITE_OK)
        code = sqlite3_exec(database, sql, row, request, NULL);
    if (code != SQLITE_OK)
        nk_printf(request, "error: %s\n", sqlite3_errmsg(database));
    sqlite3_close(database);
}

int main(void) {
    sqlite3_initialize();
    return nk_serve(handle);
}
