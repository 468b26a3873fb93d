/*
 * User-level threads, and everything that waits. The system calls about them are clone.c and futex.c.
 *
 * A thread runs until it waits, yields or ends; nobody is preempted. The first thread is the machine's own context: it
 * boots, and once the program serves it is the request loop, whose fibers all share its thread pointer. When nothing
 * can run, the machine idles until the first deadline.
 */
#include "task.h"

struct thread threads[THREADS_MAX] = {{.tid = PROCESS_ID, .state = THREAD_READY}};
struct thread *running = threads;
uint64_t shared_pending;
static struct waiter *waiters; /* oldest last */
static int last_tid = PROCESS_ID;
static unsigned live; /* threads beside the first */
static bool first_left;

static void load_fs(uint64_t fs) {
    HYPERCALL(NK_PORT_SET_FS, fs, 0);
}

static void switch_to(struct thread *next) {
    struct thread *self = running;
    if (next == self)
        return;
    running = next;
    if (next->fs != self->fs)
        load_fs(next->fs);
    context_switch(&self->stack, next->stack);
}

/* Readies those whose time has come; the next deadline of the rest. */
static uint64_t expire(void) {
    uint64_t next_ns = timers_next();
    for (struct thread *thread = threads; live && thread < threads + THREADS_MAX; thread++) {
        if (thread->state != THREAD_WAITS)
            continue;
        if (thread->wake_ns <= NK_INFO->mono_ns)
            thread->state = THREAD_READY;
        else
            next_ns = MIN(next_ns, thread->wake_ns);
    }
    return next_ns;
}

/* The next thread after the running one that can run, the running one last; NULL when there is none. */
static struct thread *next_ready(void) {
    unsigned at = (unsigned)(running - threads);
    for (unsigned step = 1; step <= THREADS_MAX; step++) {
        struct thread *thread = threads + (at + step) % THREADS_MAX;
        if (thread->state == THREAD_READY)
            return thread;
    }
    return NULL;
}

/* Suspends the running thread until its state is READY again. */
static void suspend(void) {
    for (;;) {
        uint64_t next_ns = expire();
        if (running->state == THREAD_WAITS)
            next_ns = MIN(next_ns, running->wake_ns);
        struct thread *next = next_ready();
        if (next) {
            switch_to(next);
            return;
        }
        HYPERCALL(NK_PORT_IDLE, next_ns, 0);
        timers_run();
        if (running->state == THREAD_WAITS && running->wake_ns <= NK_INFO->mono_ns)
            running->state = THREAD_READY;
    }
}

/* For the request loop with nothing to do: lets every ready thread run once; when the loop must look again. */
uint64_t thread_idle(uint64_t next_ns) {
    if (timers_run())
        return 0; /* somebody may have become ready */
    next_ns = MIN(next_ns, expire());
    if (!live)
        return next_ns;
    struct thread *next = next_ready();
    if (next != running) {
        switch_to(next); /* the loop itself stays ready: it comes back here */
        return 0;
    }
    return next_ns;
}

/* Fibers wait in the request loop's way. Their SSE state is kept here, since a system call keeps it. */
static void fiber_sleep(uint64_t deadline_ns) {
    uint8_t area[512] __attribute__((aligned(16)));
    context_save_fx(area);
    current->wake_ns = deadline_ns;
    sleepers++;
    fiber_wait(FIBER_WAITS_TIME);
    sleepers--;
    context_load_fx(area);
}

static void forget(struct waiter *waiter) {
    for (struct waiter **link = &waiters; *link; link = &(*link)->next)
        if (*link == waiter) {
            *link = waiter->next;
            return;
        }
}

/* Waits for thread_wake() on its address; false when the deadline came first, or a signal, or the client left. */
bool thread_wait(struct waiter *waiter, uint64_t deadline_ns) {
    waiter->thread = running;
    waiter->fiber = running == threads ? current : NULL;
    waiter->next = waiters;
    waiters = waiter;
    while (!waiter->woken && NK_INFO->mono_ns < deadline_ns && !interrupted(running)) {
        timers_run();
        if (waiter->woken || interrupted(running))
            break;
        uint64_t next_ns = MIN(deadline_ns, timers_next());
        if (waiter->fiber) {
            if (fiber_request(waiter->fiber)->aborted)
                break;
            fiber_sleep(next_ns);
        } else {
            running->wake_ns = next_ns;
            running->state = THREAD_WAITS;
            suspend();
        }
    }
    forget(waiter);
    return waiter->woken;
}

static void ready(struct waiter *waiter) {
    if (waiter->fiber)
        waiter->fiber->wake_ns = 0;
    else
        waiter->thread->state = THREAD_READY;
}

/* Wakes up to `count` of those who wait on an address for any of these bits, the oldest first; how many. */
unsigned thread_wake(uint64_t address, uint32_t bits, unsigned count) {
    unsigned woken = 0;
    while (woken < count) {
        struct waiter *oldest = NULL;
        for (struct waiter *waiter = waiters; waiter; waiter = waiter->next)
            if (!waiter->woken && waiter->address == address && (waiter->bits & bits))
                oldest = waiter;
        if (!oldest)
            break;
        oldest->woken = true;
        ready(oldest);
        woken++;
    }
    return woken;
}

/* Lets up to `count` of those who wait on one address wait on another instead; how many. */
unsigned thread_move(uint64_t from, uint64_t to, unsigned count) {
    unsigned moved = 0;
    for (struct waiter *waiter = waiters; waiter && moved < count; waiter = waiter->next)
        if (!waiter->woken && waiter->address == from) {
            waiter->address = to;
            moved++;
        }
    return moved;
}

void thread_interrupt(const struct thread *thread) {
    for (struct waiter *waiter = waiters; waiter; waiter = waiter->next)
        if (waiter->thread == thread)
            ready(waiter);
}

struct thread *thread_of(int tid) {
    for (struct thread *thread = threads; thread < threads + THREADS_MAX; thread++)
        if (thread->state != THREAD_FREE && thread->tid == tid)
            return thread;
    return NULL;
}

unsigned threads_count(void) {
    return live + 1;
}

void thread_yield(void) {
    if (running == threads && current)
        fiber_sleep(0);
    else
        suspend();
}

/* Lets everybody else have a turn, the request loop and the VMM too. */
void thread_pause(void) {
    time_refresh();
    thread_wait(&(struct waiter){.address = ~0ull}, NK_INFO->mono_ns + PAUSE_NS);
}

/* Another thread, ready, with the running one's thread pointer and blocked signals; NULL when there are too many. */
struct thread *thread_new(void *stack) {
    struct thread *thread = threads;
    while (thread < threads + THREADS_MAX && thread->state != THREAD_FREE)
        thread++;
    if (thread == threads + THREADS_MAX)
        return NULL;
    *thread = (struct thread){
        .stack = stack,
        .fs = running->fs,
        .tid = ++last_tid,
        .state = THREAD_READY,
        .blocked = running->blocked,
    };
    live++;
    return thread;
}

/* Ends the running thread. Returns only if nobody is left to run. */
void thread_end(void) {
    struct thread *self = running;
    if (self == threads && live) { /* the machine's own context cannot end: it waits for the others, for ever */
        first_left = true;
        for (;;)
            thread_wait(&(struct waiter){.address = ~0ull}, NK_IDLE_FOREVER);
    }
    if (self == threads || (live == 1 && first_left))
        return;
    self->state = THREAD_FREE;
    live--;
    suspend();
    panic("threads: one that ended ran on");
}

void thread_set_fs(uint64_t fs) {
    running->fs = fs;
    load_fs(fs);
}
