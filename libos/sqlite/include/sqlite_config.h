/* How SQLite is built for a machine: one thread, no files but disks, journals and temporary tables in memory. What it can
 * do is what distributions give their users, and its limits are SQLite's own; README.md says what is left out, and why. */
#ifndef SQLITE_CONFIG_H
#define SQLITE_CONFIG_H

/* What a machine is. */
#define SQLITE_OS_OTHER 1
#define SQLITE_THREADSAFE 0
#define SQLITE_TEMP_STORE 3
#define SQLITE_MAX_MMAP_SIZE 0
#define SQLITE_OMIT_LOAD_EXTENSION 1
#define SQLITE_OMIT_SHARED_CACHE 1
#define SQLITE_DEFAULT_MEMSTATUS 0
#define SQLITE_UNTESTABLE 1
#define SQLITE_BYTEORDER 1234
#define HAVE_STDINT_H 1
#define HAVE_INTTYPES_H 1
#define HAVE_LOCALTIME_R 1
#define HAVE_ISNAN 1

/* The one limit that is not SQLite's own: each wildcard of a pattern may be a call in the one before, on the stack of vfs.c. */
#define SQLITE_MAX_LIKE_PATTERN_LENGTH 10000

/* What distributions switch on. */
#define SQLITE_ENABLE_COLUMN_METADATA 1
#define SQLITE_ENABLE_DBSTAT_VTAB 1
#define SQLITE_ENABLE_FTS3 1
#define SQLITE_ENABLE_FTS3_PARENTHESIS 1
#define SQLITE_ENABLE_FTS4 1
#define SQLITE_ENABLE_FTS5 1
#define SQLITE_ENABLE_GEOPOLY 1
#define SQLITE_ENABLE_MATH_FUNCTIONS 1
#define SQLITE_ENABLE_PERCENTILE 1
#define SQLITE_ENABLE_PREUPDATE_HOOK 1
#define SQLITE_ENABLE_RTREE 1
#define SQLITE_ENABLE_SESSION 1
#define SQLITE_ENABLE_STMTVTAB 1
#define SQLITE_ENABLE_UPDATE_DELETE_LIMIT 1
#define SQLITE_LIKE_DOESNT_MATCH_BLOBS 1
#define SQLITE_MAX_SCHEMA_RETRY 25
#define SQLITE_MAX_VARIABLE_NUMBER 250000
#define SQLITE_SOUNDEX 1
#define SQLITE_USE_URI 1

#endif
