/*
 * SQLite's view of a machine: a file is a disk, and there are no others.
 *
 * Journals live in memory, which is right for both kinds of disk that can be written: what a scratch disk holds ends with
 * the machine, and what a cow disk holds counts from one flush to the next, so a transaction is there as a whole or not.
 * Several connections of one machine may be open at once, each on a fiber of its own; they lock each other out here.
 */
#include <nk_sqlite.h>

#define DISKS NK_DISKS_MAX
#define MAGIC_SIZE 16 /* of a database file's first bytes */

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

static int read_file(sqlite3_file *base, void *to, int size, sqlite3_int64 offset) {
    struct file *file = of(base);
    if (offset >= file->size) {
        memset(to, 0, (size_t)size);
        return SQLITE_IOERR_SHORT_READ;
    }
    ptrdiff_t got = nk_disk_read(file->disk, to, (size_t)size, (uint64_t)offset);
    if (got < 0)
        return SQLITE_IOERR_READ;
    if (got < size) {
        memset((char *)to + got, 0, (size_t)(size - got));
        return SQLITE_IOERR_SHORT_READ;
    }
    return SQLITE_OK;
}

static int write_file(sqlite3_file *base, const void *from, int size, sqlite3_int64 offset) {
    struct file *file = of(base);
    ptrdiff_t done = nk_disk_write(file->disk, from, (size_t)size, (uint64_t)offset);
    if (done != size)
        return done == -28 ? SQLITE_FULL : SQLITE_IOERR_WRITE;
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

static int control(sqlite3_file *base, int operation, void *argument) {
    (void)base, (void)operation, (void)argument;
    return SQLITE_NOTFOUND;
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
    char magic[MAGIC_SIZE];
    base->pMethods = NULL;
    if (!name || !(flags & SQLITE_OPEN_MAIN_DB))
        return SQLITE_CANTOPEN;
    int disk = nk_disk(*name == '/' ? name + 1 : name);
    if (!nk_disk_about(disk, &about) || about.kind == NK_DISK_LOG)
        return SQLITE_CANTOPEN;
    if (nk_disk_read(disk, magic, sizeof magic, 0) != sizeof magic)
        return SQLITE_IOERR_READ;
    *file = (struct file){.base.pMethods = &methods, .disk = disk, .writable = about.kind != NK_DISK_SHARED};
    file->size = memcmp(magic, zeros, sizeof zeros) ? (sqlite3_int64)about.bytes : 0;
    if (out_flags)
        *out_flags = file->writable ? SQLITE_OPEN_READWRITE : SQLITE_OPEN_READONLY;
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
    .szOsFile = sizeof(struct file),
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
    return sqlite3_vfs_register(&disks, 1);
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
