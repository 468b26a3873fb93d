/* Descriptors: a number names an open file, several numbers may name one, and its kind does the work. */
#include "fs.h"

#define SEEK_DATA 3
#define SEEK_HOLE 4
#define CLOSE_RANGE_CLOEXEC 4

struct file_hooks file_hooks;

static struct file *descriptors[FILES_MAX];
static uint64_t closes[FILES_MAX / 64]; /* a bit each: FD_CLOEXEC, which is kept for who asks; there is no exec */

struct file *file_of(uint64_t descriptor) {
    return descriptor < FILES_MAX ? descriptors[descriptor] : NULL;
}

bool closes_on_exec(uint64_t descriptor) {
    return closes[descriptor / 64] >> descriptor % 64 & 1;
}

void close_on_exec(uint64_t descriptor, bool does) {
    uint64_t bit = 1ull << descriptor % 64;
    closes[descriptor / 64] = does ? closes[descriptor / 64] | bit : closes[descriptor / 64] & ~bit;
}

struct file *file_new(const struct file_kind *kind, uint32_t flags) {
    struct file *file = heap_zeroed(1, sizeof *file);
    if (file) {
        file->kind = kind;
        file->flags = flags & ~(uint32_t)(O_CREAT | O_EXCL | O_TRUNC | O_CLOEXEC | O_NOCTTY);
    }
    return file;
}

/* For who held it: the last one closes it. */
void file_release(struct file *file) {
    if (--file->users)
        return;
    if (file->watched)
        file_hooks.forget(file);
    if (file->kind->close)
        file->kind->close(file);
    heap_free(file);
}

/* Gives the file the lowest free number from `lowest` on; without one it is released. */
int64_t file_install(struct file *file, unsigned lowest, bool closing) {
    if (!file)
        return -ENOMEM;
    file->users++;
    uint64_t limit = files_limit();
    for (unsigned number = lowest; number < limit; number++)
        if (!descriptors[number]) {
            descriptors[number] = file;
            close_on_exec(number, closing);
            return number;
        }
    file_release(file);
    return -EMFILE;
}

int64_t file_open(const struct file_kind *kind, uint64_t flags) {
    return file_install(file_new(kind, (uint32_t)flags & (O_NONBLOCK | O_ACCMODE)), 0, flags & O_CLOEXEC);
}

void files_begin(void) {
    file_install(file_new(&kind_input, 0), 0, false);
    file_install(file_new(&kind_output, O_WRONLY), 1, false);
    file_install(file_new(&kind_error, O_WRONLY), 2, false);
}

int64_t sys_close(const uint64_t *a, struct frame *frame) {
    (void)frame;
    uint64_t number = (uint32_t)a[0];
    struct file *file = file_of(number);
    if (!file)
        return -EBADF;
    descriptors[number] = NULL;
    if (file_hooks.unlock)
        file_hooks.unlock(file, file->users == 1);
    file_release(file);
    return 0;
}

int64_t sys_close_range(const uint64_t *a, struct frame *frame) {
    uint64_t from = (uint32_t)a[0], to = (uint32_t)a[1], flags = a[2];
    if (from > to || flags & ~6ull)
        return -EINVAL;
    for (uint64_t number = from; number <= to && number < FILES_MAX; number++)
        if (!(flags & CLOSE_RANGE_CLOEXEC))
            sys_close(&number, frame);
        else if (file_of(number))
            close_on_exec(number, true);
    return 0;
}

/* How far the bytes go; a folder has a place for every cookie. */
static int64_t end_of(const struct file *file) {
    if (file->kind->mode == S_IFDIR)
        return INT64_MAX;
    return file->node ? (int64_t)file->node->size : file->entry ? (int64_t)file->entry->size : (int64_t)file->size;
}

int64_t sys_lseek(const uint64_t *a, struct frame *frame) {
    (void)frame;
    struct file *file = file_of(a[0]);
    if (!file || file->flags & O_PATH)
        return -EBADF;
    if (a[2] > SEEK_HOLE)
        return -EINVAL;
    if (file->kind->mode == S_IFCHR || (file->kind->name && !file->pipe))
        return file->position = 0; /* devices without an end, as /dev/null; counters and the like */
    if (file->kind->mode != S_IFREG && file->kind->mode != S_IFDIR)
        return -ESPIPE;
    int64_t end = end_of(file), to;
    if (a[2] >= SEEK_DATA) { /* all of it is data, and a hole follows */
        if ((int64_t)a[1] < 0 || (int64_t)a[1] >= end)
            return -ENXIO;
        return file->position = a[2] == SEEK_DATA ? (int64_t)a[1] : end;
    }
    int64_t base = a[2] == 0 ? 0 : a[2] == 1 ? file->position : end;
    if (__builtin_add_overflow(base, (int64_t)a[1], &to) || to < 0)
        return a[2] && (int64_t)a[1] > 0 ? -EOVERFLOW : -EINVAL;
    return file->position = to;
}

int64_t sys_dup(const uint64_t *a, struct frame *frame) {
    (void)frame;
    struct file *file = file_of(a[0]);
    return file ? file_install(file, 0, false) : -EBADF;
}

static int64_t duplicate(uint64_t from, uint64_t to, bool closing, struct frame *frame) {
    struct file *file = file_of((uint32_t)from);
    to = (uint32_t)to;
    if (!file || to >= files_limit())
        return -EBADF;
    file->users++;
    sys_close(&to, frame);
    descriptors[to] = file;
    close_on_exec(to, closing);
    return (int64_t)to;
}

int64_t sys_dup3(const uint64_t *a, struct frame *frame) {
    if (a[2] & ~(uint64_t)O_CLOEXEC || (uint32_t)a[0] == (uint32_t)a[1])
        return -EINVAL;
    return duplicate(a[0], a[1], a[2], frame);
}

int64_t sys_dup2(const uint64_t *a, struct frame *frame) {
    if ((uint32_t)a[0] == (uint32_t)a[1])
        return file_of(a[0]) ? (int64_t)(uint32_t)a[1] : -EBADF;
    return duplicate(a[0], a[1], false, frame);
}

/* What is written is where it stays: there is nothing to wait for. */
int64_t sys_fsync(const uint64_t *a, struct frame *frame) {
    (void)frame;
    const struct file *file = file_of(a[0]);
    if (!file || file->flags & O_PATH)
        return -EBADF;
    return file->kind->mode == S_IFREG || file->kind->mode == S_IFDIR ? 0 : -EINVAL;
}

int64_t sys_fadvise(const uint64_t *a, struct frame *frame) {
    (void)frame;
    const struct file *file = file_of(a[0]);
    if (!file || file->flags & O_PATH)
        return -EBADF;
    return file->pipe ? -ESPIPE : a[3] > 5 || (int64_t)a[2] < 0 ? -EINVAL : 0;
}

int64_t sys_readahead(const uint64_t *a, struct frame *frame) {
    (void)frame;
    const struct file *file = file_of(a[0]);
    if (!file || (file->flags & O_ACCMODE) == O_WRONLY)
        return -EBADF;
    return file->kind->mode == S_IFREG ? 0 : -EINVAL;
}
