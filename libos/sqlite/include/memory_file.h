/* A file of SQLite's that lies in memory and ends when it is closed (memory_file.c). */
#ifndef NK_MEMORY_FILE_H
#define NK_MEMORY_FILE_H

#include <nk_sqlite.h>

struct memory_file {
    sqlite3_file base;
    char *bytes;
    sqlite3_int64 size, room;
};

void memory_file_open(sqlite3_file *base);

#endif
