/* Read-only files of the image, as open files: read in place, mapped without a copy. */
#include "fs.h"

static int64_t rom_read(struct file *file, void *to, uint64_t size, int64_t at) {
    const struct entry *entry = file->entry;
    if (at < 0 || (uint64_t)at >= entry->size)
        return 0;
    size = MIN(size, entry->size - (uint64_t)at);
    memcpy(to, archive_data(entry) + at, size);
    return (int64_t)size;
}

const struct file_kind kind_rom = {.read = rom_read, .mode = S_IFREG};

/* A private mapping for reading is the file itself: its last page ends in zeros. */
int64_t file_map(struct file *file, uint64_t size, uint64_t offset) {
    if (file->kind != &kind_rom || offset > file->entry->size)
        return 0;
    if (ALIGN_UP(offset + size, NK_PAGE_SIZE) > ALIGN_UP(file->entry->size, NK_PAGE_SIZE))
        return 0;
    return (int64_t)(uintptr_t)archive_data(file->entry) + (int64_t)offset;
}
