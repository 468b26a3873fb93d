/* Descriptors: a number names an open file, several numbers may name one, and its kind does the work. */
#include "fs.h"

#define F_DUPFD 0
#define F_GETFD 1
#define F_SETFD 2
#define F_GETFL 3
#define F_SETFL 4
#define F_DUPFD_CLOEXEC 1030
#define FIONBIO 0x5421
#define IOV_MAX 1024

static struct file *descriptors[FILES_MAX];

struct iovec {
    uint64_t base, size;
};

struct file *file_of(uint64_t descriptor) {
    return descriptor < FILES_MAX ? descriptors[descriptor] : NULL;
}

struct file *file_new(const struct file_kind *kind, uint32_t flags) {
    struct file *file = heap_zeroed(1, sizeof *file);
    if (file) {
        file->kind = kind;
        file->flags = flags & ~(uint32_t)(O_CREAT | O_EXCL | O_TRUNC | O_CLOEXEC);
    }
    return file;
}

static void release(struct file *file) {
    if (--file->users)
        return;
    if (file->kind->close)
        file->kind->close(file);
    heap_free(file);
}

/* Gives the file the lowest free number from `lowest` on; without one it is released. */
int64_t file_install(struct file *file, unsigned lowest, bool close_on_exec) {
    (void)close_on_exec; /* there is no exec */
    if (!file)
        return -ENOMEM;
    file->users++;
    for (unsigned number = lowest; number < FILES_MAX; number++)
        if (!descriptors[number]) {
            descriptors[number] = file;
            return number;
        }
    release(file);
    return -EMFILE;
}

void files_begin(void) {
    file_install(file_new(&kind_input, 0), 0, false);
    file_install(file_new(&kind_output, O_WRONLY), 1, false);
    file_install(file_new(&kind_error, O_WRONLY), 2, false);
}

int64_t sys_close(const uint64_t *a, struct frame *frame) {
    (void)frame;
    struct file *file = file_of(a[0]);
    if (!file)
        return -EBADF;
    descriptors[a[0]] = NULL;
    release(file);
    return 0;
}

int64_t sys_close_range(const uint64_t *a, struct frame *frame) {
    for (uint64_t number = a[0]; number <= a[1] && number < FILES_MAX; number++)
        sys_close(&number, frame);
    return a[0] > a[1] ? -EINVAL : 0;
}

#define AT_POSITION (-1)

static int64_t transfer(struct file *file, bool write, uint64_t address, uint64_t size, int64_t at) {
    bool mine = at == AT_POSITION;
    if (!file || (write ? (file->flags & O_ACCMODE) == 0 : (file->flags & O_ACCMODE) == O_WRONLY))
        return -EBADF;
    if (!(write ? can_read(address, size) : can_write(address, size)))
        return -EFAULT;
    if (!(write ? (void *)file->kind->write : (void *)file->kind->read))
        return file->kind->mode == S_IFDIR ? -EISDIR : -EBADF;
    if (!mine && (at < 0 || file->kind->mode != S_IFREG))
        return at < 0 ? -EINVAL : -ESPIPE;
    int64_t from = mine ? file->position : at;
    int64_t done = write ? file->kind->write(file, (const void *)address, size, from)
                         : file->kind->read(file, (void *)address, size, from);
    if (mine && done > 0)
        file->position += done;
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
    int64_t total = 0;
    if (a[2] > IOV_MAX)
        return -EINVAL;
    if (!can_read(a[1], a[2] * sizeof *pieces))
        return -EFAULT;
    for (uint64_t i = 0; i < a[2]; i++) {
        if (!pieces[i].size && i + 1 < a[2])
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

int64_t sys_sendfile(const uint64_t *a, struct frame *frame) {
    (void)frame;
    struct file *to = file_of(a[0]), *from = file_of(a[1]);
    char piece[1024];
    int64_t total = 0;
    if (!to || !from || !to->kind->write || !from->kind->read)
        return -EBADF;
    if (a[2] && !can_write(a[2], 8))
        return -EFAULT;
    int64_t *at = a[2] ? (int64_t *)a[2] : &from->position;
    while ((uint64_t)total < a[3]) {
        int64_t got = from->kind->read(from, piece, MIN(sizeof piece, a[3] - (uint64_t)total), *at);
        int64_t done = got > 0 ? to->kind->write(to, piece, (uint64_t)got, to->position) : got;
        if (done <= 0)
            return total ? total : done;
        *at += done;
        to->position += done;
        total += done;
    }
    return total;
}

int64_t sys_lseek(const uint64_t *a, struct frame *frame) {
    (void)frame;
    struct file *file = file_of(a[0]);
    struct stat_record stat;
    if (!file)
        return -EBADF;
    if (file->kind->mode != S_IFREG && file->kind->mode != S_IFDIR)
        return -ESPIPE;
    stat_file(file, &stat);
    int64_t base = a[2] == 0 ? 0 : a[2] == 1 ? file->position : stat.size, to;
    if (a[2] > 2 || __builtin_add_overflow(base, (int64_t)a[1], &to) || to < 0)
        return -EINVAL;
    return file->position = to;
}

int64_t sys_dup(const uint64_t *a, struct frame *frame) {
    (void)frame;
    struct file *file = file_of(a[0]);
    return file ? file_install(file, 0, false) : -EBADF;
}

int64_t sys_dup3(const uint64_t *a, struct frame *frame) {
    struct file *file = file_of(a[0]);
    if (!file || a[1] >= FILES_MAX)
        return -EBADF;
    if (a[0] == a[1])
        return -EINVAL;
    sys_close(a + 1, frame);
    file->users++;
    descriptors[a[1]] = file;
    return (int64_t)a[1];
}

int64_t sys_dup2(const uint64_t *a, struct frame *frame) {
    return a[0] == a[1] && file_of(a[0]) ? (int64_t)a[1] : sys_dup3(a, frame);
}

int64_t sys_fcntl(const uint64_t *a, struct frame *frame) {
    (void)frame;
    struct file *file = file_of(a[0]);
    if (!file)
        return -EBADF;
    switch (a[1]) {
    case F_DUPFD:
    case F_DUPFD_CLOEXEC:
        return a[2] < FILES_MAX ? file_install(file, (unsigned)a[2], false) : -EINVAL;
    case F_GETFD:
    case F_SETFD:
        return 0;
    case F_GETFL:
        return file->flags;
    case F_SETFL:
        file->flags = (file->flags & ~(uint32_t)(O_NONBLOCK | O_APPEND)) | ((uint32_t)a[2] & (O_NONBLOCK | O_APPEND));
        return 0;
    case 5: /* locks: there is nobody else */
    case 6:
    case 7:
        return 0;
    default:
        return -EINVAL;
    }
}

int64_t sys_ioctl(const uint64_t *a, struct frame *frame) {
    (void)frame;
    struct file *file = file_of(a[0]);
    if (!file)
        return -EBADF;
    if (a[1] != FIONBIO)
        return -ENOTTY; /* no terminals here */
    if (!can_read(a[2], 4))
        return -EFAULT;
    file->flags = *(const int *)a[2] ? file->flags | O_NONBLOCK : file->flags & ~(uint32_t)O_NONBLOCK;
    return 0;
}
