/* The read-only files of the image: looked up in place, read in place, mapped without a copy. */
#include "linux.h"

static const struct archive *archive(void) {
    return (const struct archive *)NK_INFO->files;
}

static const struct entry *entries(void) {
    return (const struct entry *)(archive() + 1);
}

uint64_t rom_size(void) {
    return archive()->size;
}

const char *rom_path(const struct entry *entry) {
    return (const char *)archive() + entry->path;
}

const char *rom_data(const struct entry *entry) {
    return (const char *)archive() + entry->data;
}

uint64_t rom_inode(const struct entry *entry) {
    return (uint64_t)(entry - entries()) + 1;
}

const struct entry *rom_find(const char *path) {
    if (!NK_INFO->files || archive()->magic != ARCHIVE_MAGIC || archive()->version != ARCHIVE_VERSION)
        return NULL;
    uint32_t low = 0, high = archive()->entries;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        int order = strcmp(path, rom_path(entries() + middle));
        if (!order)
            return entries() + middle;
        *(order < 0 ? &high : &low) = order < 0 ? middle : middle + 1;
    }
    return NULL;
}

/* *position: 0 for the first, then what the last call left there. */
const struct entry *rom_child(const struct entry *folder, uint64_t *position) {
    const char *prefix = rom_path(folder);
    size_t length = strlen(prefix);
    while (*position < archive()->entries) {
        const struct entry *entry = entries() + (*position)++;
        const char *path = rom_path(entry);
        if (length && (strncmp(path, prefix, length) || path[length] != '/'))
            continue;
        const char *name = path + length + (length != 0);
        if (*name && !strchr(name, '/'))
            return entry;
    }
    return NULL;
}

static int64_t rom_read(struct file *file, void *to, uint64_t size, int64_t at) {
    const struct entry *entry = file->entry;
    if (at < 0 || (uint64_t)at >= entry->size)
        return 0;
    size = MIN(size, entry->size - (uint64_t)at);
    memcpy(to, rom_data(entry) + at, size);
    return (int64_t)size;
}

const struct file_kind kind_rom = {.read = rom_read, .mode = S_IFREG};

/* A private mapping for reading is the file itself: its last page ends in zeros. */
int64_t file_map(struct file *file, uint64_t size, uint64_t offset) {
    if (file->kind != &kind_rom || offset > file->entry->size)
        return 0;
    if (ALIGN_UP(offset + size, NK_PAGE_SIZE) > ALIGN_UP(file->entry->size, NK_PAGE_SIZE))
        return 0;
    return (int64_t)(uintptr_t)rom_data(file->entry) + (int64_t)offset;
}

/* For programs of the call table. */
int rom_file(const char *path, const void **data, size_t *size) {
    while (*path == '/')
        path++;
    const struct entry *entry = rom_find(path);
    if (!entry || (entry->mode & S_IFMT) != S_IFREG)
        return -1;
    *data = rom_data(entry);
    *size = entry->size;
    return 0;
}
