/*
 * Locks: of records for the process (F_SETLK) or for an open file (F_OFD_SETLK), and of whole files (flock). The process
 * is alone, so its own never stop it; those of two open files of one file do.
 */
#include "fs.h"

#define F_GETLK 5
#define F_SETLKW 7
#define F_OFD_GETLK 36
#define F_OFD_SETLKW 38
#define F_RDLCK 0
#define F_WRLCK 1
#define F_UNLCK 2
#define LOCK_SH 1
#define LOCK_EX 2
#define LOCK_NB 4
#define LOCK_UN 8
#define LOCKS_MAX 8192

struct lock {
    struct lock *next;
    const void *what;         /* a node or an entry */
    const struct file *owner; /* NULL: the process */
    bool whole;               /* flock: apart from the others */
    int type;
    int64_t start, end; /* first and last byte */
};

static struct lock *locks;
static unsigned count;

struct flock {
    int16_t type, whence;
    int64_t start, length;
    int32_t process;
};

static const void *what_of(const struct file *file) {
    return file->node ? (const void *)file->node : (const void *)file->entry;
}

static bool overlap(const struct lock *a, const struct lock *b) {
    return a->what == b->what && a->whole == b->whole && a->start <= b->end && b->start <= a->end;
}

/* Somebody else's lock that this one would have to wait for, the first in the file. */
static struct lock *conflict(const struct lock *wanted) {
    struct lock *first = NULL;
    for (struct lock *lock = locks; lock; lock = lock->next)
        if (lock->owner != wanted->owner && overlap(lock, wanted) &&
            (lock->type == F_WRLCK || wanted->type == F_WRLCK) && (!first || lock->start < first->start))
            first = lock;
    return first;
}

static bool add(const struct lock *lock) {
    struct lock *copy = count < LOCKS_MAX ? heap_alloc(sizeof *copy) : NULL;
    if (!copy)
        return false;
    *copy = *lock;
    copy->next = locks;
    locks = copy;
    count++;
    return true;
}

/* Takes the range out of what its owner has; a lock may be left on both sides of it. */
static bool cut(const struct lock *range) {
    for (struct lock **link = &locks, *lock; (lock = *link);) {
        if (lock->owner != range->owner || !overlap(lock, range)) {
            link = &lock->next;
            continue;
        }
        struct lock after = *lock;
        after.start = range->end + 1;
        if (lock->end > range->end && lock->start < range->start && !add(&after))
            return false;
        if (lock->start < range->start) {
            lock->end = range->start - 1;
            link = &lock->next;
        } else if (lock->end > range->end) {
            lock->start = range->end + 1;
            link = &lock->next;
        } else {
            while (*link != lock) /* add() put another in front */
                link = &(*link)->next;
            *link = lock->next;
            heap_free(lock);
            count--;
        }
    }
    return true;
}

/* A number of the file is closed: the process loses its records of that file, and with the last the open file its own. */
static void locks_drop(struct file *file, bool last) {
    if (!count || !what_of(file))
        return;
    struct lock range = {.what = what_of(file), .end = INT64_MAX};
    cut(&range);
    for (int whole = 0; last && file->locks && whole < 2; whole++) {
        range.owner = file;
        range.whole = whole;
        cut(&range);
    }
    files_changed();
}

static int64_t set(struct file *file, const struct lock *lock, bool wait) {
    if (lock->type != F_UNLCK)
        while (conflict(lock)) {
            int64_t error = wait ? wait_for_change() : -EAGAIN;
            if (error)
                return error;
        }
    if (!cut(lock) || (lock->type != F_UNLCK && !add(lock)))
        return -ENOLCK;
    file->locks = true;
    file_hooks.unlock = locks_drop;
    files_changed();
    return 0;
}

/* A program's range, as first and last byte. */
static int64_t range_of(const struct file *file, const struct flock *flock, struct lock *lock) {
    int64_t size = file->node ? (int64_t)file->node->size : file->entry ? (int64_t)file->entry->size : 0;
    int64_t base = flock->whence == 0 ? 0 : flock->whence == 1 ? file->position : size;
    if ((uint16_t)flock->whence > 2)
        return -EINVAL;
    if (__builtin_add_overflow(base, flock->start, &lock->start))
        return -EOVERFLOW;
    if (lock->start < 0)
        return -EINVAL;
    lock->end = INT64_MAX;
    if (flock->length > 0 && __builtin_add_overflow(lock->start, flock->length - 1, &lock->end))
        return -EOVERFLOW;
    if (flock->length < 0) {
        lock->end = lock->start - 1;
        lock->start += flock->length;
        if (lock->start < 0)
            return -EINVAL;
    }
    return 0;
}

int64_t record_lock(struct file *file, uint64_t command, uint64_t address) {
    bool open_file = command >= F_OFD_GETLK, asks = command == F_GETLK || command == F_OFD_GETLK;
    if (!(asks ? can_write(address, sizeof(struct flock)) : can_read(address, sizeof(struct flock))))
        return -EFAULT;
    struct flock *flock = (struct flock *)address;
    if ((uint16_t)flock->type > F_UNLCK || (asks && flock->type == F_UNLCK && !open_file) || (open_file && flock->process))
        return -EINVAL;
    struct lock lock = {.what = what_of(file), .owner = open_file ? file : NULL, .type = flock->type};
    int64_t error = range_of(file, flock, &lock);
    if (error)
        return error;
    if (asks) {
        const struct lock *other = lock.what ? conflict(&lock) : NULL;
        if (!other) {
            flock->type = F_UNLCK;
            return 0;
        }
        int64_t length = other->end == INT64_MAX ? 0 : other->end - other->start + 1;
        *flock = (struct flock){(int16_t)other->type, 0, other->start, length, other->owner ? -1 : PROCESS_ID};
        return 0;
    }
    unsigned access = file->flags & O_ACCMODE;
    if ((lock.type == F_RDLCK && access == O_WRONLY) || (lock.type == F_WRLCK && access == 0))
        return -EBADF;
    return lock.what ? set(file, &lock, command == F_SETLKW || command == F_OFD_SETLKW) : 0;
}

int64_t sys_flock(const uint64_t *a, struct frame *frame) {
    (void)frame;
    struct file *file = file_of(a[0]);
    uint64_t operation = a[1] & ~(uint64_t)LOCK_NB;
    if (!file || file->flags & O_PATH)
        return -EBADF;
    if (operation != LOCK_SH && operation != LOCK_EX && operation != LOCK_UN)
        return -EINVAL;
    struct lock lock = {.what = what_of(file), .owner = file, .whole = true, .end = INT64_MAX};
    lock.type = operation == LOCK_UN ? F_UNLCK : operation == LOCK_EX ? F_WRLCK : F_RDLCK;
    return lock.what ? set(file, &lock, !(a[1] & LOCK_NB)) : 0;
}
