/* The archive of read-only files, as `vmimage/files.py` packs it: header, entries sorted by path, paths, then each
 * file's bytes from a page of their own. Offsets are from the archive's start. */
#ifndef LINUX_ARCHIVE_H
#define LINUX_ARCHIVE_H

#include <stdint.h>

#define ARCHIVE_MAGIC 0x53464B4E /* "NKFS" */
#define ARCHIVE_VERSION 1

struct archive {
    uint32_t magic, version;
    uint64_t size;
    uint32_t entries, zero;
};

struct entry {
    uint32_t path, mode; /* path: offset of "etc/passwd\0"; the root is "" */
    uint64_t data, size;
};

/* rom.c */
const struct entry *rom_find(const char *path);                        /* without the leading slash; NULL: not there */
const struct entry *rom_child(const struct entry *folder, uint64_t *position); /* the next one; NULL after the last */
const char *rom_path(const struct entry *entry);
const char *rom_data(const struct entry *entry);
uint64_t rom_inode(const struct entry *entry);

#endif
