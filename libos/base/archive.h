/* The archive of read-only files, as `origin/bake/files.py` packs it: header, entries sorted by path, paths, then each
 * file's bytes from a page of their own. Offsets are from the archive's start. */
#ifndef ARCHIVE_H
#define ARCHIVE_H

#include <stddef.h>
#include <stdint.h>

#define ARCHIVE_MAGIC 0x53464B4E /* "NKFS" */
#define ARCHIVE_VERSION 1

struct archive {
    uint32_t magic, version;
    uint64_t size;
    uint32_t entries, zero;
};

struct entry {
    uint32_t path, mode; /* path: offset of "etc/passwd\0"; the root is "". mode: as Linux has it */
    uint64_t data, size;
};
#define ENTRY_KIND 0170000
#define ENTRY_FILE 0100000

/* ---- archive.c ---- */
const struct entry *archive_find(const char *path);
const struct entry *archive_child(const struct entry *folder, uint64_t *position);
const char *archive_path(const struct entry *entry);
const char *archive_data(const struct entry *entry);
uint64_t archive_inode(const struct entry *entry);
uint64_t archive_size(void);
int archive_file(const char *path, const void **data, size_t *size);

#endif
