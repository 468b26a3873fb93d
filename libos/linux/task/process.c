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

/* Limits are what they are and can be set to nothing else. */
static int64_t limits(uint64_t resource, uint64_t to) {
    enum { STACK = 3, CORE = 4, FILES = 7 };
    if (!to)
        return 0;
    if (!can_write(to, 16))
        return -EFAULT;
    uint64_t limit = resource == STACK ? NK_STACK_SIZE : resource == FILES ? FILES_MAX : resource == CORE ? 0 : ~0ull;
    ((uint64_t *)to)[0] = ((uint64_t *)to)[1] = limit;
    return 0;
}

int64_t sys_prlimit(const uint64_t *a, struct frame *frame) {
    (void)frame;
    return a[0] && a[0] != PROCESS_ID ? -ESRCH : limits(a[1], a[3]);
}

int64_t sys_getrlimit(const uint64_t *a, struct frame *frame) {
    (void)frame;
    return limits(a[0], a[1]);
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
    if (a[1] < 8)
        return -EINVAL;
    if (!can_write(a[2], 8))
        return -EFAULT;
    *(uint64_t *)a[2] = 1;
    return 8;
}

/* One processor: every memory access is in order for every thread. Query says which commands there are. */
int64_t sys_membarrier(const uint64_t *a, struct frame *frame) {
    (void)frame;
    return a[0] == 0 ? 0x1F : 0;
}

int64_t sys_prctl(const uint64_t *a, struct frame *frame) {
    (void)frame;
    enum { SET_NAME = 15, GET_NAME = 16 };
    if (a[0] == GET_NAME) {
        if (!can_write(a[1], 16))
            return -EFAULT;
        memcpy((void *)a[1], "program\0\0\0\0\0\0\0\0", 16);
    }
    return a[0] == SET_NAME || a[0] == GET_NAME ? 0 : -EINVAL;
}

/* The end of all threads. A service that leaves starts again from its image. */
int64_t sys_exit_group(const uint64_t *a, struct frame *frame) {
    (void)frame;
    if (NK_INFO->program_kind != NK_PROGRAM_LINUX)
        cgi_exit((int)(a[0] & 0xFF));
    for (;;)
        HYPERCALL(NK_PORT_EXIT, a[0] & 0xFF, 0);
}
