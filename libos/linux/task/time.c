/* Clocks and sleeping. The info page has all times as of the last entry; a program that asks gets them fresh. */
#include "task.h"

#define NS 1000000000ull
#define CLOCK_MONOTONIC_COARSE 6
#define CLOCK_REALTIME_COARSE 5
#define TIMER_ABSTIME 1

/* A clock's nanoseconds: real, monotonic and boot time, process and thread CPU time. */
static bool read_clock(uint64_t clock, uint64_t *ns) {
    if (clock != CLOCK_MONOTONIC_COARSE && clock != CLOCK_REALTIME_COARSE)
        time_refresh();
    switch (clock) {
    case 0:
    case CLOCK_REALTIME_COARSE:
    case 8: /* alarms of both, and the time of atoms, which is not set here */
    case 11:
        *ns = NK_INFO->wall_ns;
        return true;
    case 1:
    case 4:
    case CLOCK_MONOTONIC_COARSE:
    case 7:
    case 9:
        *ns = NK_INFO->mono_ns;
        return true;
    case 2:
    case 3:
        *ns = NK_INFO->virtual_ns;
        return true;
    default:
        return false;
    }
}

static bool write_time(uint64_t address, uint64_t ns, uint64_t unit) {
    if (!can_write(address, sizeof(struct timespec)))
        return false;
    *(struct timespec *)address = (struct timespec){(int64_t)(ns / NS), (int64_t)(ns % NS / unit)};
    return true;
}

/* mono_ns of a time that a program gave (0: none, for ever); *error when it is not one. */
uint64_t deadline_of(uint64_t address, bool absolute, bool wall, int64_t *error) {
    *error = 0;
    if (!address)
        return NK_IDLE_FOREVER;
    if (!can_read(address, sizeof(struct timespec))) {
        *error = -EFAULT;
        return 0;
    }
    struct timespec time = *(const struct timespec *)address;
    if (time.seconds < 0 || time.nanoseconds < 0 || (uint64_t)time.nanoseconds >= NS) {
        *error = -EINVAL;
        return 0;
    }
    time_refresh();
    uint64_t seconds = MIN((uint64_t)time.seconds, 1ull << 33), ns = seconds * NS + (uint64_t)time.nanoseconds;
    uint64_t now = NK_INFO->mono_ns;
    if (!absolute)
        return now + ns;
    if (wall)
        return ns > NK_INFO->wall_ns ? now + (ns - NK_INFO->wall_ns) : now;
    return ns;
}

int64_t sys_clock_gettime(const uint64_t *a, struct frame *frame) {
    (void)frame;
    uint64_t ns;
    if (!read_clock(a[0], &ns))
        return -EINVAL;
    return write_time(a[1], ns, 1) ? 0 : -EFAULT;
}

int64_t sys_clock_getres(const uint64_t *a, struct frame *frame) {
    (void)frame;
    uint64_t ns;
    if (!read_clock(a[0], &ns))
        return -EINVAL;
    uint64_t step = a[0] == CLOCK_MONOTONIC_COARSE || a[0] == CLOCK_REALTIME_COARSE ? 4000000 : 1;
    return !a[1] || write_time(a[1], step, 1) ? 0 : -EFAULT;
}

int64_t sys_gettimeofday(const uint64_t *a, struct frame *frame) {
    (void)frame;
    time_refresh();
    if (a[1] && !can_write(a[1], 8))
        return -EFAULT;
    if (a[1])
        *(uint64_t *)a[1] = 0; /* UTC */
    return !a[0] || write_time(a[0], NK_INFO->wall_ns, 1000) ? 0 : -EFAULT;
}

int64_t sys_time(const uint64_t *a, struct frame *frame) {
    (void)frame;
    time_refresh();
    int64_t seconds = (int64_t)(NK_INFO->wall_ns / NS);
    if (a[0] && !can_write(a[0], sizeof seconds))
        return -EFAULT;
    if (a[0])
        *(int64_t *)a[0] = seconds;
    return seconds;
}

static int64_t wait_until(uint64_t deadline_ns, uint64_t rest_address) {
    struct waiter waiter = {.address = ~0ull};
    thread_wait(&waiter, deadline_ns);
    if (NK_INFO->mono_ns >= deadline_ns && !interrupted(running))
        return 0;
    if (rest_address && !write_time(rest_address, deadline_ns - MIN(NK_INFO->mono_ns, deadline_ns), 1))
        return -EFAULT;
    return -EINTR;
}

int64_t sys_nanosleep(const uint64_t *a, struct frame *frame) {
    (void)frame;
    int64_t error;
    uint64_t deadline_ns = deadline_of(a[0], false, false, &error);
    return !a[0] ? -EFAULT : error ? error : wait_until(deadline_ns, a[1]);
}

/* The time is the host's. */
int64_t sys_clock_settime(const uint64_t *a, struct frame *frame) {
    (void)frame;
    if (a[0] != 0)
        return -EINVAL;
    return can_read(a[1], sizeof(struct timespec)) ? -EPERM : -EFAULT;
}

int64_t sys_clock_nanosleep(const uint64_t *a, struct frame *frame) {
    (void)frame;
    int64_t error;
    uint64_t ns;
    if (a[0] == 3 || a[0] == 5 || a[0] == 6)
        return a[0] == 3 ? -EINVAL : -EOPNOTSUPP;
    if (!read_clock(a[0], &ns))
        return -EINVAL;
    uint64_t deadline_ns = deadline_of(a[2], a[1] & TIMER_ABSTIME, a[0] == 0 || a[0] == 8 || a[0] == 11, &error);
    return !a[2] ? -EFAULT : error ? error : wait_until(deadline_ns, a[1] & TIMER_ABSTIME ? 0 : a[3]);
}

int64_t sys_getrusage(const uint64_t *a, struct frame *frame) {
    (void)frame;
    enum { SELF = 0, CHILDREN = -1, THREAD = 1, MAX_RESIDENT = 4 };
    int who = (int)a[0];
    if (who != SELF && who != CHILDREN && who != THREAD)
        return -EINVAL;
    if (!can_write(a[1], 144))
        return -EFAULT;
    time_refresh();
    memset((void *)a[1], 0, 144);
    if (who == CHILDREN)
        return 0;
    write_time(a[1], NK_INFO->virtual_ns, 1000);
    ((uint64_t *)a[1])[MAX_RESIDENT] = (NK_INFO->memory_bytes - NK_PROGRAM_ADDRESS - pages_free_bytes()) / 1024;
    return 0;
}

int64_t sys_times(const uint64_t *a, struct frame *frame) {
    (void)frame;
    time_refresh();
    if (a[0]) {
        if (!can_write(a[0], 32))
            return -EFAULT;
        memset((void *)a[0], 0, 32);
        *(uint64_t *)a[0] = NK_INFO->virtual_ns / 10000000;
    }
    return (int64_t)(NK_INFO->mono_ns / 10000000);
}
