/* What is asked of an open file, and changed about it, by number: fcntl and ioctl. */
#include "fs.h"

#define F_DUPFD 0
#define F_GETFD 1
#define F_SETFD 2
#define F_GETFL 3
#define F_SETFL 4
#define F_GETLK 5
#define F_SETLKW 7
#define F_SETOWN 8
#define F_GETOWN 9
#define F_OFD_GETLK 36
#define F_OFD_SETLKW 38
#define F_DUPFD_CLOEXEC 1030
#define F_SETPIPE_SZ 1031
#define F_GETPIPE_SZ 1032
#define SETTABLE (O_NONBLOCK | O_APPEND | O_NOATIME | 020000 /* O_ASYNC */ | 040000 /* O_DIRECT */)

#define FIONREAD 0x541B
#define FIONBIO 0x5421
#define FIONCLEX 0x5450
#define FIOCLEX 0x5451

int64_t sys_fcntl(const uint64_t *a, struct frame *frame) {
    (void)frame;
    struct file *file = file_of(a[0]);
    uint64_t command = (uint32_t)a[1];
    if (!file)
        return -EBADF;
    if (file->flags & O_PATH && command > F_GETFL && command != F_DUPFD_CLOEXEC)
        return -EBADF;
    switch (command) {
    case F_DUPFD:
    case F_DUPFD_CLOEXEC:
        return a[2] < files_limit() ? file_install(file, (unsigned)a[2], command == F_DUPFD_CLOEXEC) : -EINVAL;
    case F_GETFD:
        return closes_on_exec(a[0]);
    case F_SETFD:
        close_on_exec(a[0], a[2] & 1);
        return 0;
    case F_GETFL:
        return file->flags;
    case F_SETFL:
        file->flags = (file->flags & ~(uint32_t)SETTABLE) | ((uint32_t)a[2] & SETTABLE);
        return 0;
    case F_SETOWN:
    case F_GETOWN:
        return 0;
    case F_SETPIPE_SZ:
    case F_GETPIPE_SZ:
        if (!file->pipe)
            return -EBADF;
        return command == F_SETPIPE_SZ && !a[2] ? -EINVAL : pipe_size(file, command == F_SETPIPE_SZ ? a[2] : 0);
    default:
        if ((command >= F_GETLK && command <= F_SETLKW) || (command >= F_OFD_GETLK && command <= F_OFD_SETLKW))
            return record_lock(file, command, a[2]);
        return -EINVAL;
    }
}

/* How many bytes a read would find. */
static int64_t readable(const struct file *file) {
    if (file->pipe)
        return (int64_t)pipe_bytes(file);
    if (file->kind->mode != S_IFREG)
        return -ENOTTY;
    int64_t size = file->node ? (int64_t)file->node->size : file->entry ? (int64_t)file->entry->size : 0;
    return size - file->position;
}

int64_t sys_ioctl(const uint64_t *a, struct frame *frame) {
    (void)frame;
    struct file *file = file_of(a[0]);
    if (!file || file->flags & O_PATH)
        return -EBADF;
    switch ((uint32_t)a[1]) {
    case FIONBIO:
        if (!can_read(a[2], 4))
            return -EFAULT;
        file->flags = *(const int *)a[2] ? file->flags | O_NONBLOCK : file->flags & ~(uint32_t)O_NONBLOCK;
        return 0;
    case FIOCLEX:
    case FIONCLEX:
        close_on_exec(a[0], (uint32_t)a[1] == FIOCLEX);
        return 0;
    case FIONREAD: {
        int64_t bytes = readable(file);
        if (bytes == -ENOTTY)
            return bytes;
        if (!can_write(a[2], 4))
            return -EFAULT;
        *(int *)a[2] = (int)bytes;
        return 0;
    }
    default:
        return -ENOTTY; /* no terminals here */
    }
}
