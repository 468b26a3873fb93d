/* The read-only files of the image: looked up in place, never copied. */
#include "base.h"

static const struct archive *header(void) {
    return (const struct archive *)NK_INFO->files;
}

static const struct entry *entries(void) {
    return (const struct entry *)(header() + 1);
}

/* All of it, in bytes; only where there is one. */
uint64_t archive_size(void) {
    return header()->size;
}

const char *archive_path(const struct entry *entry) {
    return (const char *)header() + entry->path;
}

const char *archive_data(const struct entry *entry) {
    return (const char *)header() + entry->data;
}

uint64_t archive_inode(const struct entry *entry) {
    return (uint64_t)(entry - entries()) + 1;
}

/* By its path without the leading slash; NULL: not there. */
const struct entry *archive_find(const char *path) {
    if (!NK_INFO->files || header()->magic != ARCHIVE_MAGIC || header()->version != ARCHIVE_VERSION)
        return NULL;
    uint32_t low = 0, high = header()->entries;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        int order = strcmp(path, archive_path(entries() + middle));
        if (!order)
            return entries() + middle;
        *(order < 0 ? &high : &low) = order < 0 ? middle : middle + 1;
    }
    return NULL;
}

/* The next one in a folder; NULL after the last. *position: 0 for the first, then what the last call left there. */
const struct entry *archive_child(const struct entry *folder, uint64_t *position) {
    const char *prefix = archive_path(folder);
    size_t length = strlen(prefix);
    while (*position < header()->entries) {
        const struct entry *entry = entries() + (*position)++;
        const char *path = archive_path(entry);
        if (length && (strncmp(path, prefix, length) || path[length] != '/'))
            continue;
        const char *name = path + length + (length != 0);
        if (*name && !strchr(name, '/'))
            return entry;
    }
    return NULL;
}

/* For programs of the call table: a file's bytes where they are; -1: not there. */
int archive_file(const char *path, const void **data, size_t *size) {
    while (*path == '/')
        path++;
    const struct entry *entry = archive_find(path);
    if (!entry || (entry->mode & ENTRY_KIND) != ENTRY_FILE)
        return -1;
    *data = archive_data(entry);
    *size = entry->size;
    return 0;
}
