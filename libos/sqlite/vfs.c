/*
 * SQLite's view of a machine: a file is a disk, and there are no others.
 *
 * Journals live in memory, which is right for both kinds of disk that can be written: what a scratch disk holds ends with
 * the machine, and what a cow disk holds counts from one flush to the next, so a transaction is there as a whole or not.
 * So no database has a write-ahead log here; one that was made in WAL mode is told as one with a rollback journal.
 * Several connections of one machine may be open at once, each on a fiber of its own; they lock each other out here.
 */
#include <chance.h>
#include <memory_file.h>

#define DISKS NK_DISKS_MAX
#define DISK_IS_FULL (-28) /* errno ENOSPC */
#define MAGIC_SIZE 16 /* of a database file's first bytes */

/* File format 1.3.3: which versions of SQLite may write and read the file. */
#define VERSIONS_OFFSET 18
#define VERSIONS_END 20
enum version { VERSION_JOURNAL = 1, VERSION_WAL = 2 };

/* A condition of a thousand terms, SQLite's own limit, is compiled by a thousand calls in one another. */
__attribute__((weak)) const size_t nk_stack_bytes = 1 << 20;

/* Locks of one disk, as SQLite's levels want them: any number of readers, one who prepares to write, one who writes. */
static struct lock {
    unsigned shared;
    const void *reserved;
    bool pending;
} locks[DISKS];

struct file {
    sqlite3_file base;
    int disk, level;
    bool writable;
    sqlite3_int64 size; /* SQLite's idea of it: 0 while a disk holds no database */
    sqlite3_int64 room; /* of the disk */
};

static struct file *of(sqlite3_file *file) {
    return (struct file *)file;
}

static int lock_file(sqlite3_file *base, int level) {
    struct file *file = of(base);
    struct lock *lock = &locks[file->disk];
    if (!file->writable || level <= file->level) {
        file->level = level > file->level ? level : file->level;
        return SQLITE_OK;
    }
    if (file->level == SQLITE_LOCK_NONE) {
        if (lock->pending)
            return SQLITE_BUSY;
        lock->shared++;
        file->level = SQLITE_LOCK_SHARED;
    }
    if (level >= SQLITE_LOCK_RESERVED) {
        if (lock->reserved && lock->reserved != file)
            return SQLITE_BUSY;
        lock->reserved = file;
        file->level = SQLITE_LOCK_RESERVED;
    }
    if (level == SQLITE_LOCK_EXCLUSIVE) {
        lock->pending = true; /* no new readers */
        file->level = SQLITE_LOCK_PENDING;
        if (lock->shared > 1)
            return SQLITE_BUSY;
        file->level = SQLITE_LOCK_EXCLUSIVE;
    }
    return SQLITE_OK;
}

static int unlock_file(sqlite3_file *base, int level) {
    struct file *file = of(base);
    struct lock *lock = &locks[file->disk];
    if (file->writable && level < file->level) {
        if (lock->reserved == file) {
            lock->reserved = NULL;
            lock->pending = false;
        }
        if (level == SQLITE_LOCK_NONE)
            lock->shared--;
    }
    file->level = level < file->level ? level : file->level;
    return SQLITE_OK;
}

static int check_reserved(sqlite3_file *base, int *reserved) {
    *reserved = locks[of(base)->disk].reserved != NULL;
    return SQLITE_OK;
}

/* `nunatak disk build` takes no database with a write-ahead log beside it, so the file is whole. */
static void hide_wal(char *bytes, int size, sqlite3_int64 offset) {
    for (sqlite3_int64 at = VERSIONS_OFFSET; at < VERSIONS_END; at++)
        if (offset <= at && at < offset + size && bytes[at - offset] == VERSION_WAL)
            bytes[at - offset] = VERSION_JOURNAL;
}

static int read_file(sqlite3_file *base, void *to, int size, sqlite3_int64 offset) {
    struct file *file = of(base);
    if (offset >= file->size) {
        memset(to, 0, (size_t)size);
        return SQLITE_IOERR_SHORT_READ;
    }
    ptrdiff_t got = nk_disk_read(file->disk, to, (size_t)size, (uint64_t)offset);
    if (got < 0)
        return SQLITE_IOERR_READ;
    hide_wal(to, (int)got, offset);
    if (got < size) {
        memset((char *)to + got, 0, (size_t)(size - got));
        return SQLITE_IOERR_SHORT_READ;
    }
    return SQLITE_OK;
}

/* Whole pages of a disk: what it takes. */
static int write_pages(struct file *file, const char *from, size_t size, uint64_t offset) {
    ptrdiff_t done = nk_disk_write(file->disk, from, size, offset);
    if (done == (ptrdiff_t)size)
        return SQLITE_OK;
    return done >= 0 || done == DISK_IS_FULL ? SQLITE_FULL : SQLITE_IOERR_WRITE;
}

/* A part of a page of the disk, for databases whose pages are smaller. */
static int write_part(struct file *file, const char *from, size_t size, uint64_t offset) {
    char page[NK_PAGE_SIZE] = {0};
    uint64_t start = offset & ~(uint64_t)(NK_PAGE_SIZE - 1);
    if (nk_disk_read(file->disk, page, sizeof page, start) < 0)
        return SQLITE_IOERR_WRITE;
    memcpy(page + (offset - start), from, size);
    return write_pages(file, page, sizeof page, start);
}

static int write_file(sqlite3_file *base, const void *from, int size, sqlite3_int64 offset) {
    struct file *file = of(base);
    const char *at = from;
    size_t left = (size_t)size;
    if (offset + size > file->room)
        return SQLITE_FULL;
    for (uint64_t place = (uint64_t)offset; left;) {
        size_t before = NK_PAGE_SIZE - place % NK_PAGE_SIZE, part = left < before ? left : before;
        if (part == NK_PAGE_SIZE)
            part = left & ~(size_t)(NK_PAGE_SIZE - 1);
        int code = part % NK_PAGE_SIZE ? write_part(file, at, part, place) : write_pages(file, at, part, place);
        if (code != SQLITE_OK)
            return code;
        at += part;
        place += part;
        left -= part;
    }
    if (offset + size > file->size)
        file->size = offset + size;
    return SQLITE_OK;
}

static int sync_file(sqlite3_file *base, int flags) {
    (void)flags;
    return nk_disk_flush(of(base)->disk) ? SQLITE_IOERR_FSYNC : SQLITE_OK;
}

static int truncate_file(sqlite3_file *base, sqlite3_int64 size) {
    of(base)->size = size;
    return SQLITE_OK;
}

static int file_size(sqlite3_file *base, sqlite3_int64 *size) {
    *size = of(base)->size;
    return SQLITE_OK;
}

/* Who asks for a write-ahead log gets a journal, and is told so; SQLite's own answer would be an error in some cases. */
static int control(sqlite3_file *base, int operation, void *argument) {
    char **pragma = argument; /* result, name, value */
    (void)base;
    if (operation != SQLITE_FCNTL_PRAGMA || sqlite3_stricmp(pragma[1], "journal_mode") || !pragma[2] ||
        sqlite3_stricmp(pragma[2], "wal"))
        return SQLITE_NOTFOUND;
    pragma[0] = sqlite3_mprintf("memory");
    return pragma[0] ? SQLITE_OK : SQLITE_NOMEM;
}

static int sector_size(sqlite3_file *base) {
    (void)base;
    return NK_PAGE_SIZE;
}

static int characteristics(sqlite3_file *base) {
    int always = SQLITE_IOCAP_ATOMIC4K | SQLITE_IOCAP_POWERSAFE_OVERWRITE | SQLITE_IOCAP_UNDELETABLE_WHEN_OPEN;
    return of(base)->writable ? always : always | SQLITE_IOCAP_IMMUTABLE;
}

static int close_file(sqlite3_file *base) {
    return unlock_file(base, SQLITE_LOCK_NONE);
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
    .xUnlock = unlock_file,
    .xCheckReservedLock = check_reserved,
    .xFileControl = control,
    .xSectorSize = sector_size,
    .xDeviceCharacteristics = characteristics,
};

static int open_file(sqlite3_vfs *vfs, sqlite3_filename name, sqlite3_file *base, int flags, int *out_flags) {
    (void)vfs;
    struct file *file = of(base);
    struct nk_disk_about about;
    static const char zeros[MAGIC_SIZE];
    char magic[MAGIC_SIZE] = {0};
    base->pMethods = NULL;
    if (flags & (SQLITE_OPEN_MAIN_JOURNAL | SQLITE_OPEN_SUPER_JOURNAL | SQLITE_OPEN_SUBJOURNAL)) {
        memory_file_open(base);
        if (out_flags)
            *out_flags = flags;
        return SQLITE_OK;
    }
    if (!name || !(flags & SQLITE_OPEN_MAIN_DB))
        return SQLITE_CANTOPEN;
    int disk = nk_disk(*name == '/' ? name + 1 : name);
    if (!nk_disk_about(disk, &about) || about.kind == NK_DISK_LOG)
        return SQLITE_CANTOPEN;
    if (nk_disk_read(disk, magic, sizeof magic, 0) < 0)
        return SQLITE_IOERR_READ;
    *file = (struct file){.base.pMethods = &methods, .disk = disk, .writable = about.kind != NK_DISK_SHARED};
    file->room = (sqlite3_int64)about.bytes;
    bool blank = file->writable && !memcmp(magic, zeros, sizeof zeros); /* where a database may begin */
    file->size = blank ? 0 : file->room;
    if (out_flags)
        *out_flags = file->writable && !(flags & SQLITE_OPEN_READONLY) ? SQLITE_OPEN_READWRITE : SQLITE_OPEN_READONLY;
    return SQLITE_OK;
}

static int delete_file(sqlite3_vfs *vfs, const char *name, int sync) {
    (void)vfs, (void)name, (void)sync;
    return SQLITE_OK;
}

static int access_file(sqlite3_vfs *vfs, const char *name, int flags, int *result) {
    (void)vfs, (void)flags;
    *result = nk_disk(*name == '/' ? name + 1 : name) >= 0; /* there are no journals */
    return SQLITE_OK;
}

static int full_name(sqlite3_vfs *vfs, const char *name, int size, char *to) {
    (void)vfs;
    return nk_snprintf(to, (size_t)size, "%s", name) < size ? SQLITE_OK : SQLITE_CANTOPEN;
}

static int random_of(sqlite3_vfs *vfs, int size, char *to) {
    (void)vfs;
    nk_random(to, (size_t)size);
    return size;
}

static int sleep_for(sqlite3_vfs *vfs, int microseconds) {
    (void)vfs;
    nk_sleep_until(nk_mono_ns() + (uint64_t)microseconds * 1000);
    return microseconds;
}

/* Milliseconds since noon in Greenwich on November 24, 4714 B.C., as SQLite counts. */
static int current_time(sqlite3_vfs *vfs, sqlite3_int64 *now) {
    (void)vfs;
    *now = 210866760000000LL + (sqlite3_int64)(nk_wall_ns() / 1000000);
    return SQLITE_OK;
}

static int current_day(sqlite3_vfs *vfs, double *now) {
    sqlite3_int64 milliseconds;
    current_time(vfs, &milliseconds);
    *now = (double)milliseconds / 86400000.0;
    return SQLITE_OK;
}

static sqlite3_vfs disks = {
    .iVersion = 2,
    .szOsFile = sizeof(struct file) > sizeof(struct memory_file) ? sizeof(struct file) : sizeof(struct memory_file),
    .mxPathname = 64,
    .zName = "disk",
    .xOpen = open_file,
    .xDelete = delete_file,
    .xAccess = access_file,
    .xFullPathname = full_name,
    .xRandomness = random_of,
    .xSleep = sleep_for,
    .xCurrentTime = current_day,
    .xCurrentTimeInt64 = current_time,
};

int sqlite3_os_init(void) {
    int code = sqlite3_vfs_register(&disks, 1);
    return code == SQLITE_OK ? chance_begin() : code;
}

int sqlite3_os_end(void) {
    return SQLITE_OK;
}

int nk_sqlite_open(const char *disk, sqlite3 **connection) {
    struct nk_disk_about about;
    bool there = nk_disk_about(nk_disk(disk), &about), writable = there && about.kind != NK_DISK_SHARED;
    int code = sqlite3_open_v2(disk, connection, writable ? SQLITE_OPEN_READWRITE : SQLITE_OPEN_READONLY, NULL);
    if (code == SQLITE_OK && writable)
        code = sqlite3_exec(*connection, "PRAGMA journal_mode = MEMORY; PRAGMA busy_timeout = 2000", NULL, NULL, NULL);
    if (code == SQLITE_OK)
        code = sqlite3_exec(*connection, "PRAGMA cache_size = -256", NULL, NULL, NULL);
    return code;
}
