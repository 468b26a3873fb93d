/*
 * Timers that send a signal: alarm and setitimer, timer_create and its relatives. Those of CPU time are kept and never fire,
 * since the machine's own limit ends a request.
 */
#include "task.h"

#define NS 1000000000ull
#define TIMERS_MAX 32
#define SIGALRM 14
#define SI_KERNEL 0x80
#define SI_TIMER (-2)
#define TIMER_ABSTIME 1
#define SECONDS_MAX (1ull << 33)

static void ring(struct timer *timer, uint64_t times) {
    (void)timer, (void)times;
    signal_send(NULL, SIGALRM, (struct signal_information){.code = SI_KERNEL});
}

static struct timer real = {.fire = ring};
static uint64_t cpu_timers[2][4];

int64_t sys_alarm(const uint64_t *a, struct frame *frame) {
    (void)frame;
    time_refresh();
    uint64_t left = timer_left(&real), seconds = (uint32_t)a[0];
    timer_set(&real, seconds ? NK_INFO->mono_ns + seconds * NS : 0, 0);
    return (int64_t)((left + NS / 2) / NS + (left && left < NS / 2)); /* never 0 for one that was set */
}

int64_t sys_getitimer(const uint64_t *a, struct frame *frame) {
    (void)frame;
    if (a[0] > 2)
        return -EINVAL;
    if (!can_write(a[1], 32))
        return -EFAULT;
    time_refresh();
    uint64_t left = timer_left(&real), *to = (uint64_t *)a[1];
    const uint64_t now[4] = {real.interval_ns / NS, real.interval_ns % NS / 1000, left / NS, left % NS / 1000};
    memcpy(to, a[0] ? cpu_timers[a[0] - 1] : now, sizeof now);
    return 0;
}

int64_t sys_setitimer(const uint64_t *a, struct frame *frame) {
    uint64_t words[4] = {};
    if (a[0] > 2)
        return -EINVAL;
    if (a[1] && !can_read(a[1], sizeof words))
        return -EFAULT;
    if (a[1])
        memcpy(words, (const void *)a[1], sizeof words);
    if ((int64_t)words[0] < 0 || (int64_t)words[2] < 0 || words[1] >= 1000000 || words[3] >= 1000000)
        return -EINVAL;
    int64_t error = a[2] ? sys_getitimer((const uint64_t[]){a[0], a[2]}, frame) : 0;
    if (error)
        return error;
    if (a[0]) {
        memcpy(cpu_timers[a[0] - 1], words, sizeof words);
        return 0;
    }
    time_refresh();
    uint64_t value = MIN(words[2], SECONDS_MAX) * NS + words[3] * 1000;
    uint64_t interval = MIN(words[0], SECONDS_MAX) * NS + words[1] * 1000;
    timer_set(&real, value ? NK_INFO->mono_ns + value : 0, interval);
    return 0;
}

static struct program_timer {
    struct timer timer;
    bool used, silent;
    int number, tid; /* tid 0: the process */
    uint64_t value, overrun;
} program_timers[TIMERS_MAX];

static void announce(struct timer *timer, uint64_t times) {
    struct program_timer *of = (struct program_timer *)timer;
    of->overrun = times - 1;
    if (of->silent)
        return;
    const struct signal_information information = {.code = SI_TIMER, .value = of->value};
    signal_send(of->tid ? thread_of(of->tid) : NULL, of->number, information);
}

int64_t sys_timer_create(const uint64_t *a, struct frame *frame) {
    (void)frame;
    enum { SIGNAL, NONE, THREAD_ID = 4 };
    struct {
        uint64_t value;
        int number, notify, tid;
    } event = {0, SIGALRM, SIGNAL, 0};
    bool wall;
    int id = 0;
    if (!timer_clock(a[0], &wall))
        return -EINVAL;
    if (a[1] && !can_read(a[1], 64))
        return -EFAULT;
    if (a[1])
        memcpy(&event, (const void *)a[1], 20);
    if (event.notify == THREAD_ID ? !thread_of(event.tid) : event.notify != SIGNAL && event.notify != NONE)
        return -EINVAL;
    if (event.notify != NONE && (event.number < 1 || event.number > 64))
        return -EINVAL;
    if (!can_write(a[2], 4))
        return -EFAULT;
    while (id < TIMERS_MAX && program_timers[id].used)
        id++;
    if (id == TIMERS_MAX)
        return -EAGAIN;
    program_timers[id] = (struct program_timer){
        .timer = {.fire = announce, .wall = wall},
        .used = true,
        .silent = event.notify == NONE,
        .number = event.number,
        .tid = event.notify == THREAD_ID ? event.tid : 0,
        .value = a[1] ? event.value : (uint64_t)id,
    };
    *(int *)a[2] = id;
    return 0;
}

static struct program_timer *timer_of(uint64_t id) {
    return id < TIMERS_MAX && program_timers[id].used ? program_timers + id : NULL;
}

int64_t sys_timer_settime(const uint64_t *a, struct frame *frame) {
    (void)frame;
    struct program_timer *of = timer_of((uint32_t)a[0]);
    return of ? timer_change(&of->timer, a[1] & TIMER_ABSTIME, a[2], a[3]) : -EINVAL;
}

int64_t sys_timer_gettime(const uint64_t *a, struct frame *frame) {
    (void)frame;
    const struct program_timer *of = timer_of((uint32_t)a[0]);
    return of ? timer_tell(&of->timer, a[1]) : -EINVAL;
}

int64_t sys_timer_getoverrun(const uint64_t *a, struct frame *frame) {
    (void)frame;
    const struct program_timer *of = timer_of((uint32_t)a[0]);
    return of ? (int64_t)MIN(of->overrun, (uint64_t)INT32_MAX) : -EINVAL;
}

int64_t sys_timer_delete(const uint64_t *a, struct frame *frame) {
    (void)frame;
    struct program_timer *of = timer_of((uint32_t)a[0]);
    if (!of)
        return -EINVAL;
    timer_set(&of->timer, 0, 0);
    of->used = false;
    return 0;
}
