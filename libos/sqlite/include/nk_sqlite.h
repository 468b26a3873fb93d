/* SQLite over disks: a database is named after its disk; see vfs.c for what is kept where. */
#ifndef NK_SQLITE_H
#define NK_SQLITE_H

#include <nunatak.h>
#include <sqlite3.h>

/* Opens the database on a disk: read-only if the disk is, with a small page cache and its journal in memory. An SQLite
 * result code; like sqlite3_open_v2() it gives a connection to ask for the message in most failures. Waits.
 *
 * A connection belongs to one fiber at a time: its calls wait for disks, and nothing else may use it meanwhile. */
int nk_sqlite_open(const char *disk, sqlite3 **connection);

#endif
