/*
 * Timers that fire while the program does something else: descriptors that count (timerfd), alarms, timer_create(). They
 * are looked at whenever something waits and when a system call returns; a program that computes without either is not
 * interrupted. A timer of the wall clock keeps its time of day over a park, the others what is left of their time.
 */
#include "task.h"

#define NS 1000000000ull
#define TIMERS_MAX 32
#define SIGALRM 14
#define SI_KERNEL 0x80
#define SI_TIMER (-2)
#define TIMER_ABSTIME 1
#define SECONDS_MAX (1ull << 33)

static struct timer *armed;

/* Whether a timer can go by that clock; *wall: it is one that says the time of day. */
bool timer_clock(uint64_t clock, bool *wall) {
    *wall = clock == 0 || clock == 8 || clock == 11;
    return *wall || clock == 1 || clock == 7 || clock == 9;
}

static uint64_t clock_of(const struct timer *timer) {
    return timer->wall ? NK_INFO->wall_ns : NK_INFO->mono_ns;
}

/* Arms it for a time of its clock, or with 0 disarms it. */
void timer_set(struct timer *timer, uint64_t target_ns, uint64_t interval_ns) {
    for (struct timer **link = &armed; *link; link = &(*link)->next)
        if (*link == timer) {
            *link = timer->next;
            break;
        }
    timer->target_ns = target_ns;
    timer->interval_ns = interval_ns;
    if (target_ns) {
        timer->next = armed;
        armed = timer;
    }
}

/* Fires those whose time has come; whether there were any. */
bool timers_run(void) {
    bool any = false;
    if (armed)
        time_refresh();
    for (struct timer *timer = armed, *next; timer; timer = next) {
        next = timer->next;
        uint64_t now = clock_of(timer);
        if (timer->target_ns > now)
            continue;
        uint64_t times = 1 + (timer->interval_ns ? (now - timer->target_ns) / timer->interval_ns : 0);
        timer_set(timer, timer->interval_ns ? timer->target_ns + times * timer->interval_ns : 0, timer->interval_ns);
        timer->fire(timer, times);
        any = true;
    }
    return any;
}

/* mono_ns of the next that fires. */
uint64_t timers_next(void) {
    uint64_t next_ns = NK_IDLE_FOREVER;
    for (const struct timer *timer = armed; timer; timer = timer->next) {
        uint64_t now = clock_of(timer), left = timer->target_ns > now ? timer->target_ns - now : 0;
        next_ns = MIN(next_ns, NK_INFO->mono_ns + left);
    }
    return next_ns;
}

static uint64_t left_ns(const struct timer *timer) {
    uint64_t now = clock_of(timer);
    return !timer->target_ns ? 0 : timer->target_ns > now ? timer->target_ns - now : 1;
}

static bool read_span(const struct timespec *time, uint64_t *ns) {
    if (time->seconds < 0 || time->nanoseconds < 0 || (uint64_t)time->nanoseconds >= NS)
        return false;
    *ns = MIN((uint64_t)time->seconds, SECONDS_MAX) * NS + (uint64_t)time->nanoseconds;
    return true;
}

static struct timespec span(uint64_t ns) {
    return (struct timespec){(int64_t)(ns / NS), (int64_t)(ns % NS)};
}

int64_t timer_tell(const struct timer *timer, uint64_t address) {
    if (!can_write(address, sizeof(struct itimerspec)))
        return -EFAULT;
    timers_run();
    *(struct itimerspec *)address = (struct itimerspec){span(timer->interval_ns), span(left_ns(timer))};
    return 0;
}

/* Sets it as a program says (struct itimerspec), and tells how it was. */
int64_t timer_change(struct timer *timer, bool absolute, uint64_t address, uint64_t old_address) {
    uint64_t value, interval;
    if (!can_read(address, sizeof(struct itimerspec)))
        return -EFAULT;
    struct itimerspec given = *(const struct itimerspec *)address;
    if (!read_span(&given.value, &value) || !read_span(&given.interval, &interval))
        return -EINVAL;
    if (old_address) {
        int64_t error = timer_tell(timer, old_address);
        if (error)
            return error;
    }
    time_refresh();
    timer_set(timer, value ? (absolute ? value : clock_of(timer) + value) : 0, interval);
    return 0;
}

/* ---- alarm and setitimer: the first is real time; those of CPU time are kept and never fire, since the machine's own
 * limit ends a request ---- */

static void ring(struct timer *timer, uint64_t times) {
    (void)timer, (void)times;
    signal_send(NULL, SIGALRM, (struct signal_information){.code = SI_KERNEL});
}

static struct timer real = {.fire = ring};
static uint64_t cpu_timers[2][4];

int64_t sys_alarm(const uint64_t *a, struct frame *frame) {
    (void)frame;
    time_refresh();
    uint64_t left = left_ns(&real), seconds = (uint32_t)a[0];
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
    uint64_t left = left_ns(&real), *to = (uint64_t *)a[1];
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

/* ---- timer_create() and its relatives ---- */

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
