/*
 * A file in memory that ends when it is closed: what SQLite's journals are here, whatever journal mode a program asks for.
 * That is right for both kinds of disk that can be written, see vfs.c.
 */
#include "memory_file.h"

static struct memory_file *of(sqlite3_file *file) {
    return (struct memory_file *)file;
}

static int close_file(sqlite3_file *base) {
    nk_free(of(base)->bytes);
    of(base)->bytes = NULL;
    return SQLITE_OK;
}

static int read_file(sqlite3_file *base, void *to, int size, sqlite3_int64 offset) {
    struct memory_file *file = of(base);
    sqlite3_int64 there = file->size > offset ? file->size - offset : 0;
    size_t got = (size_t)(there < size ? there : size);
    if (got)
        memcpy(to, file->bytes + offset, got);
    memset((char *)to + got, 0, (size_t)size - got);
    return got == (size_t)size ? SQLITE_OK : SQLITE_IOERR_SHORT_READ;
}

static int write_file(sqlite3_file *base, const void *from, int size, sqlite3_int64 offset) {
    struct memory_file *file = of(base);
    sqlite3_int64 end = offset + size;
    if (end > file->room) {
        sqlite3_int64 room = end + end / 2;
        char *larger = nk_realloc(file->bytes, (size_t)room);
        if (!larger)
            return SQLITE_IOERR_NOMEM;
        file->bytes = larger;
        file->room = room;
    }
    if (offset > file->size)
        memset(file->bytes + file->size, 0, (size_t)(offset - file->size));
    memcpy(file->bytes + offset, from, (size_t)size);
    file->size = end > file->size ? end : file->size;
    return SQLITE_OK;
}

static int truncate_file(sqlite3_file *base, sqlite3_int64 size) {
    of(base)->size = size < of(base)->size ? size : of(base)->size;
    return SQLITE_OK;
}

static int sync_file(sqlite3_file *base, int flags) {
    (void)base, (void)flags;
    return SQLITE_OK;
}

static int file_size(sqlite3_file *base, sqlite3_int64 *size) {
    *size = of(base)->size;
    return SQLITE_OK;
}

static int lock_file(sqlite3_file *base, int level) {
    (void)base, (void)level;
    return SQLITE_OK;
}

static int check_reserved(sqlite3_file *base, int *reserved) {
    (void)base;
    *reserved = 0;
    return SQLITE_OK;
}

static int control(sqlite3_file *base, int operation, void *argument) {
    (void)base, (void)operation, (void)argument;
    return SQLITE_NOTFOUND;
}

static int sector_size(sqlite3_file *base) {
    (void)base;
    return NK_PAGE_SIZE;
}

static int characteristics(sqlite3_file *base) {
    (void)base;
    return SQLITE_IOCAP_SAFE_APPEND | SQLITE_IOCAP_SEQUENTIAL | SQLITE_IOCAP_POWERSAFE_OVERWRITE;
}

static const sqlite3_io_methods methods = {
    .iVersion = 1,
    .xClose = close_file,
    .xRead = read_file,
    .xWrite = write_file,
    .xTruncate = truncate_file,
    .xSync = sync_file,
    .xFileSize = file_size,
    .xLock = lock_file,
    .xUnlock = lock_file,
    .xCheckReservedLock = check_reserved,
    .xFileControl = control,
    .xSectorSize = sector_size,
    .xDeviceCharacteristics = characteristics,
};

void memory_file_open(sqlite3_file *base) {
    *of(base) = (struct memory_file){.base.pMethods = &methods};
}
