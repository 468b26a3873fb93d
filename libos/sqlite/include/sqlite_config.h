/* How SQLite is built for a machine: one thread, no files but disks, journals and temporary tables in memory. */
#ifndef SQLITE_CONFIG_H
#define SQLITE_CONFIG_H

#define SQLITE_OS_OTHER 1
#define SQLITE_THREADSAFE 0
#define SQLITE_TEMP_STORE 3
#define SQLITE_DEFAULT_MEMSTATUS 0
#define SQLITE_DQS 0
#define SQLITE_MAX_MMAP_SIZE 0
#define SQLITE_LIKE_DOESNT_MATCH_BLOBS 1
#define SQLITE_ENABLE_FTS5 1
#define SQLITE_OMIT_WAL 1
#define SQLITE_OMIT_LOAD_EXTENSION 1
#define SQLITE_OMIT_LOCALTIME 1
#define SQLITE_OMIT_DEPRECATED 1
#define SQLITE_OMIT_SHARED_CACHE 1
#define SQLITE_OMIT_PROGRESS_CALLBACK 1
#define SQLITE_UNTESTABLE 1
#define SQLITE_SMALL_STACK 1       /* fibers have 34 KiB */
#define SQLITE_MAX_EXPR_DEPTH 100  /* the same */
#define SQLITE_PRINTF_PRECISION_LIMIT 1000
#define SQLITE_BYTEORDER 1234
#define HAVE_STDINT_H 1
#define HAVE_INTTYPES_H 1

#endif
