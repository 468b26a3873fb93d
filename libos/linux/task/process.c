/* What a program asks about itself and its machine: one process, one processor, nobody else. */
#include "task.h"

int64_t sys_zero(const uint64_t *a, struct frame *frame) {
    (void)a, (void)frame;
    return 0;
}

int64_t sys_getpid(const uint64_t *a, struct frame *frame) {
    (void)a, (void)frame;
    return PROCESS_ID;
}

int64_t sys_getppid(const uint64_t *a, struct frame *frame) {
    (void)a, (void)frame;
    return 1;
}

int64_t sys_uname(const uint64_t *a, struct frame *frame) {
    (void)frame;
    static const char *const names[] = {"Linux", "nunatak", "6.1.0-nunatak", "#1", "x86_64", "(none)"};
    enum { FIELD = 65 };
    if (!can_write(a[0], 6 * FIELD))
        return -EFAULT;
    char *field = memset((void *)a[0], 0, 6 * FIELD);
    for (int i = 0; i < 6; i++, field += FIELD)
        memcpy(field, names[i], strlen(names[i]));
    return 0;
}

int64_t sys_sysinfo(const uint64_t *a, struct frame *frame) {
    (void)frame;
    if (!can_write(a[0], 112))
        return -EFAULT;
    uint64_t *info = memset((void *)a[0], 0, 112);
    info[0] = NK_INFO->mono_ns / 1000000000;
    info[4] = NK_INFO->memory_bytes;
    info[5] = pages_free_bytes();
    *((uint16_t *)(info + 10)) = 1; /* processes */
    *((uint32_t *)((char *)info + 104)) = 1; /* bytes in a unit */
    return 0;
}

/* As Linux does before its pool is filled, which here is until there is a machine: who can wait waits, and the image
 * ends; who cannot is told to come again. */
int64_t sys_getrandom(const uint64_t *a, struct frame *frame) {
    (void)frame;
    uint64_t flags = a[2];
    if (flags & ~(uint64_t)(GRND_NONBLOCK | GRND_RANDOM | GRND_INSECURE) ||
        (flags & (GRND_RANDOM | GRND_INSECURE)) == (GRND_RANDOM | GRND_INSECURE))
        return -EINVAL;
    if (!can_write(a[0], a[1]))
        return -EFAULT;
    if (flags & GRND_INSECURE) { /* hash seeds: never waits, and need not be secret */
        random_fill((void *)a[0], a[1]);
    } else {
        if (flags & GRND_NONBLOCK && !random_ready())
            return -EAGAIN;
        random_bytes((void *)a[0], a[1]);
    }
    return (int64_t)a[1];
}

int64_t sys_getcpu(const uint64_t *a, struct frame *frame) {
    (void)frame;
    for (int i = 0; i < 2; i++) {
        if (a[i] && !can_write(a[i], 4))
            return -EFAULT;
        if (a[i])
            *(uint32_t *)a[i] = 0;
    }
    return 0;
}

int64_t sys_sched_getaffinity(const uint64_t *a, struct frame *frame) {
    (void)frame;
    if (a[1] < 8 || a[1] % 8)
        return -EINVAL;
    if (a[0] && !thread_of((int)a[0]))
        return -ESRCH;
    if (!can_write(a[2], 8))
        return -EFAULT;
    *(uint64_t *)a[2] = 1;
    return 8;
}

/* There is one processor: it must be among those asked for. */
int64_t sys_sched_setaffinity(const uint64_t *a, struct frame *frame) {
    (void)frame;
    if (a[0] && !thread_of((int)a[0]))
        return -ESRCH;
    if (!can_read(a[2], MIN(a[1], 8ull)))
        return -EFAULT;
    return a[1] && *(const uint8_t *)a[2] & 1 ? 0 : -EINVAL;
}

/* One processor: every memory access is in order for every thread. Query says which commands there are. */
int64_t sys_membarrier(const uint64_t *a, struct frame *frame) {
    (void)frame;
    enum { COMMANDS = 0x1F };
    if (a[1])
        return -EINVAL;
    if (!a[0])
        return COMMANDS;
    return a[0] & ~(uint64_t)COMMANDS || a[0] & (a[0] - 1) ? -EINVAL : 0;
}

/* What this kernel has not, and C libraries and runtimes ask for and do without: not worth a word in a report. */
int64_t sys_refused(const uint64_t *a, struct frame *frame) {
    (void)a, (void)frame;
    return -ENOSYS;
}

/* The end of all threads. A service that leaves starts again from its image. */
int64_t sys_exit_group(const uint64_t *a, struct frame *frame) {
    (void)frame;
    if (NK_INFO->program_kind != NK_PROGRAM_LINUX)
        cgi_exit((int)(a[0] & 0xFF));
    for (;;)
        HYPERCALL(NK_PORT_EXIT, a[0] & 0xFF, 0);
}
