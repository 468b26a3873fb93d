/*
 * Timers that fire while the program does something else: descriptors that count (timerfd), alarms, timer_create(). They
 * are looked at whenever something waits and when a system call returns; a program that computes without either is not
 * interrupted. A timer of the wall clock keeps its time of day over a park, the others what is left of their time.
 */
#include "task.h"

#define NS 1000000000ull
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

uint64_t timer_left(const struct timer *timer) {
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
    *(struct itimerspec *)address = (struct itimerspec){span(timer->interval_ns), span(timer_left(timer))};
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
