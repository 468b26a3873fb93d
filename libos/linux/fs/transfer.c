/* Reading and writing through a descriptor: at its position or at a place of the caller's, in one piece or in several. */
#include "fs.h"

#define IOV_MAX 1024
#define RW_MAX 0x7FFFF000 /* bytes of one call, as on Linux */
#define RWF_ALL 0x1F      /* HIPRI, DSYNC, SYNC, NOWAIT, APPEND: of preadv2(2) */
#define RWF_NOWAIT 8
#define RWF_APPEND 16

#define AT_POSITION (-1)

struct iovec {
    uint64_t base, size;
};

static int64_t allowed(const struct file *file, bool write) {
    if (!file || file->flags & O_PATH)
        return -EBADF;
    if (write ? (file->flags & O_ACCMODE) == 0 : (file->flags & O_ACCMODE) == O_WRONLY)
        return -EBADF;
    if (!(write ? (void *)file->kind->write : (void *)file->kind->read))
        return file->kind->mode == S_IFDIR ? -EISDIR : -EINVAL;
    return 0;
}

static int64_t transfer(struct file *file, bool write, uint64_t address, uint64_t size, int64_t at) {
    bool mine = at == AT_POSITION;
    int64_t error = allowed(file, write);
    if (error)
        return error;
    size = MIN(size, (uint64_t)RW_MAX);
    if (!(write ? can_read(address, size) : can_write(address, size)))
        return -EFAULT;
    if (!mine && file->kind->mode != S_IFREG && file->kind->mode != S_IFCHR)
        return file->kind->mode == S_IFDIR ? -EISDIR : -ESPIPE;
    int64_t from = mine ? file->position : at;
    if (write && file->flags & O_APPEND && file->node)
        from = (int64_t)file->node->size;
    if (mine)
        file->users++; /* another thread may close it while this one waits */
    int64_t done = write ? file->kind->write(file, (const void *)address, size, from)
                         : file->kind->read(file, (void *)address, size, from);
    if (mine && done > 0)
        file->position = from + done;
    if (mine)
        file_release(file);
    return done;
}

int64_t sys_read(const uint64_t *a, struct frame *frame) {
    (void)frame;
    return transfer(file_of(a[0]), false, a[1], a[2], AT_POSITION);
}

int64_t sys_write(const uint64_t *a, struct frame *frame) {
    (void)frame;
    return transfer(file_of(a[0]), true, a[1], a[2], AT_POSITION);
}

int64_t sys_pread(const uint64_t *a, struct frame *frame) {
    (void)frame;
    return (int64_t)a[3] < 0 ? -EINVAL : transfer(file_of(a[0]), false, a[1], a[2], (int64_t)a[3]);
}

int64_t sys_pwrite(const uint64_t *a, struct frame *frame) {
    (void)frame;
    return (int64_t)a[3] < 0 ? -EINVAL : transfer(file_of(a[0]), true, a[1], a[2], (int64_t)a[3]);
}

static int64_t vector(const uint64_t *a, bool write, int64_t at) {
    const struct iovec *pieces = (const struct iovec *)a[1];
    struct file *file = file_of(a[0]);
    int64_t total = 0, error = allowed(file, write);
    if (error)
        return error;
    if (a[2] > IOV_MAX)
        return -EINVAL;
    if (!can_read(a[1], a[2] * sizeof *pieces))
        return -EFAULT;
    for (uint64_t i = 0; i < a[2]; i++)
        if ((int64_t)pieces[i].size < 0)
            return -EINVAL;
    for (uint64_t i = 0; i < a[2]; i++) {
        if (!pieces[i].size && (i + 1 < a[2] || total))
            continue;
        int64_t done = transfer(file_of(a[0]), write, pieces[i].base, pieces[i].size, at);
        if (done < 0)
            return total ? total : done;
        total += done;
        at = at == AT_POSITION ? at : at + done;
        if ((uint64_t)done < pieces[i].size)
            break;
    }
    return total;
}

int64_t sys_readv(const uint64_t *a, struct frame *frame) {
    (void)frame;
    return vector(a, false, AT_POSITION);
}

int64_t sys_writev(const uint64_t *a, struct frame *frame) {
    (void)frame;
    return vector(a, true, AT_POSITION);
}

int64_t sys_preadv(const uint64_t *a, struct frame *frame) {
    (void)frame;
    return (int64_t)a[3] < 0 ? -EINVAL : vector(a, false, (int64_t)a[3]);
}

int64_t sys_pwritev(const uint64_t *a, struct frame *frame) {
    (void)frame;
    return (int64_t)a[3] < 0 ? -EINVAL : vector(a, true, (int64_t)a[3]);
}

/* With flags, which hold for this call; position -1 is the file's own. */
static int64_t vector_with_flags(const uint64_t *a, bool write) {
    struct file *file = file_of(a[0]);
    uint64_t flags = a[5];
    if (!file)
        return -EBADF;
    if (flags & ~(uint64_t)RWF_ALL)
        return -EOPNOTSUPP;
    if ((int64_t)a[3] < -1)
        return -EINVAL;
    uint32_t kept = file->flags;
    file->flags |= (flags & RWF_APPEND ? O_APPEND : 0) | (flags & RWF_NOWAIT ? O_NONBLOCK : 0);
    int64_t done = vector(a, write, (int64_t)a[3]);
    if (file_of(a[0]) == file)
        file->flags = kept;
    return done;
}

int64_t sys_preadv2(const uint64_t *a, struct frame *frame) {
    (void)frame;
    return vector_with_flags(a, false);
}

int64_t sys_pwritev2(const uint64_t *a, struct frame *frame) {
    (void)frame;
    return vector_with_flags(a, true);
}
