/*
 * random() and randomblob(), from the platform at every call. SQLite's own are one generator in memory, seeded once, so
 * all clones of a machine would go on with the same numbers. What it needs beside them (a row number where the last one is
 * taken) need not be unpredictable.
 */
#include "chance.h"

static void random_number(sqlite3_context *context, int count, sqlite3_value **values) {
    (void)count, (void)values;
    sqlite3_int64 number;
    nk_random(&number, sizeof number);
    /* abs(random()) is an error for the one number that has no positive one. */
    sqlite3_result_int64(context, number == INT64_MIN ? 0 : number);
}

static void random_blob(sqlite3_context *context, int count, sqlite3_value **values) {
    (void)count;
    sqlite3_int64 size = sqlite3_value_int64(values[0]);
    size = size < 1 ? 1 : size;
    if (size > sqlite3_limit(sqlite3_context_db_handle(context), SQLITE_LIMIT_LENGTH, -1)) {
        sqlite3_result_error_toobig(context);
        return;
    }
    char *blob = sqlite3_malloc64((sqlite3_uint64)size);
    if (!blob) {
        sqlite3_result_error_nomem(context);
        return;
    }
    nk_random(blob, (size_t)size);
    sqlite3_result_blob64(context, blob, (sqlite3_uint64)size, sqlite3_free);
}

static int add_functions(sqlite3 *database, char **error, const struct sqlite3_api_routines *routines) {
    (void)error, (void)routines;
    int flags = SQLITE_UTF8 | SQLITE_INNOCUOUS;
    int code = sqlite3_create_function(database, "random", 0, flags, NULL, random_number, NULL, NULL);
    if (code == SQLITE_OK)
        code = sqlite3_create_function(database, "randomblob", 1, flags, NULL, random_blob, NULL, NULL);
    return code;
}

int chance_begin(void) {
    return sqlite3_auto_extension((void (*)(void))add_functions);
}
