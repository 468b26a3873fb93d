/* From one file to another without the program's memory between: sendfile, copy_file_range and splice. */
#include "fs.h"

#define PIECE 4096

/* A position that the caller keeps, or the file's own. */
static int64_t *position(struct file *file, uint64_t address) {
    return address ? (int64_t *)address : &file->position;
}

static int64_t copy(struct file *from, int64_t *at, struct file *to, int64_t *there, uint64_t size) {
    static char piece[PIECE]; /* a source that waits is none of the files below, so nobody else comes between */
    uint64_t total = 0;
    while (total < size) {
        int64_t got = from->kind->read(from, piece, MIN((uint64_t)PIECE, size - total), *at);
        int64_t done = got > 0 ? to->kind->write(to, piece, (uint64_t)got, *there) : got;
        if (done <= 0)
            return total ? (int64_t)total : done;
        *at += done;
        *there += done;
        total += (uint64_t)done;
        if (done < got)
            break;
    }
    return (int64_t)total;
}

static int64_t check(struct file *from, struct file *to) {
    if (!from || !to || (from->flags | to->flags) & O_PATH)
        return -EBADF;
    if ((from->flags & O_ACCMODE) == O_WRONLY || !(to->flags & O_ACCMODE))
        return -EBADF;
    return 0;
}

int64_t sys_sendfile(const uint64_t *a, struct frame *frame) {
    (void)frame;
    struct file *to = file_of(a[0]), *from = file_of(a[1]);
    int64_t error = check(from, to);
    if (error)
        return error;
    if (from->kind->mode != S_IFREG || !from->kind->read || !to->kind->write || to->flags & O_APPEND)
        return -EINVAL;
    if (a[2] && !can_write(a[2], 8))
        return -EFAULT;
    if (a[2] && *(int64_t *)a[2] < 0)
        return -EINVAL;
    return copy(from, position(from, a[2]), to, &to->position, a[3]);
}

int64_t sys_copy_file_range(const uint64_t *a, struct frame *frame) {
    (void)frame;
    struct file *from = file_of(a[0]), *to = file_of(a[2]);
    int64_t error = check(from, to);
    if (error)
        return error;
    if ((a[1] && !can_write(a[1], 8)) || (a[3] && !can_write(a[3], 8)))
        return -EFAULT;
    if (a[5])
        return -EINVAL;
    if (from->kind->mode == S_IFDIR || to->kind->mode == S_IFDIR)
        return -EISDIR;
    if (from->kind->mode != S_IFREG || to->kind->mode != S_IFREG || !to->kind->write)
        return -EINVAL;
    if (to->flags & O_APPEND)
        return -EBADF;
    int64_t *at = position(from, a[1]), *there = position(to, a[3]);
    if (*at < 0 || *there < 0)
        return -EINVAL;
    uint64_t size = MIN(a[4], (uint64_t)0x7FFFF000);
    if (from->node && from->node == to->node) {
        int64_t apart = *at > *there ? *at - *there : *there - *at;
        if ((uint64_t)apart < size)
            return -EINVAL; /* the ranges overlap */
    }
    int64_t own[2] = {*at, *there}; /* two descriptors may be one open file: each end keeps its own count */
    int64_t done = copy(from, &own[0], to, &own[1], size);
    *at = own[0];
    if (at != there)
        *there = own[1];
    return done;
}

/* One end is a pipe. */
int64_t sys_splice(const uint64_t *a, struct frame *frame) {
    (void)frame;
    struct file *from = file_of(a[0]), *to = file_of(a[2]);
    int64_t error = check(from, to);
    if (error || !a[4])
        return error;
    if ((!from->pipe && !to->pipe) || from->pipe == to->pipe || !from->kind->read || !to->kind->write)
        return -EINVAL;
    if ((from->pipe && a[1]) || (to->pipe && a[3]))
        return -ESPIPE;
    if ((a[1] && !can_write(a[1], 8)) || (a[3] && !can_write(a[3], 8)))
        return -EFAULT;
    if (to->flags & O_APPEND)
        return -EINVAL;
    char piece[PIECE / 4]; /* of its own: this one may wait */
    int64_t *at = position(from, a[1]), *there = position(to, a[3]);
    int64_t got = from->kind->read(from, piece, MIN(sizeof piece, a[4]), *at);
    int64_t done = got > 0 ? to->kind->write(to, piece, (uint64_t)got, *there) : got;
    if (done > 0) {
        *at += done;
        *there += done;
    }
    return done;
}
