/*
 * User-level threads, and everything that waits.
 *
 * A thread runs until it waits, yields or ends; nobody is preempted. The first thread is the machine's own context: it
 * boots, and once the program serves it is the request loop, whose fibers all share its thread pointer. When nothing
 * can run, the machine idles until the first deadline.
 */
#include "linux.h"

struct thread threads[THREADS_MAX] = {{.tid = PROCESS_ID, .state = THREAD_READY}};
struct thread *running = threads;
static struct waiter *waiters; /* oldest last */
static int last_tid = PROCESS_ID;
static unsigned live; /* threads beside the first */
static bool first_left;

static void set_fs(uint64_t fs) {
    HYPERCALL(NK_PORT_SET_FS, fs, 0);
}

static void switch_to(struct thread *next) {
    struct thread *self = running;
    if (next == self)
        return;
    running = next;
    if (next->fs != self->fs)
        set_fs(next->fs);
    linux_switch(&self->stack, next->stack);
}

/* Readies those whose time has come; the next deadline of the rest. */
static uint64_t expire(void) {
    uint64_t next_ns = NK_IDLE_FOREVER;
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
        if (running->state == THREAD_WAITS && running->wake_ns <= NK_INFO->mono_ns)
            running->state = THREAD_READY;
    }
}

/* For the request loop with nothing to do: lets every ready thread run once; when the loop must look again. */
uint64_t thread_idle(uint64_t next_ns) {
    if (!live)
        return next_ns;
    next_ns = MIN(next_ns, expire());
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
    linux_fx_save(area);
    current->wake_ns = deadline_ns;
    sleepers++;
    fiber_wait(FIBER_WAITS_TIME);
    sleepers--;
    linux_fx_load(area);
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
    while (!waiter->woken && NK_INFO->mono_ns < deadline_ns && !(running->pending & ~running->blocked)) {
        if (waiter->fiber) {
            if (fiber_request(waiter->fiber)->aborted)
                break;
            fiber_sleep(deadline_ns);
        } else {
            running->wake_ns = deadline_ns;
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

void thread_interrupt(const struct thread *thread) {
    for (struct waiter *waiter = waiters; waiter; waiter = waiter->next)
        if (waiter->thread == thread)
            ready(waiter);
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
    thread_wait(&(struct waiter){.address = ~0ull}, NK_INFO->mono_ns + 1000000);
}

_Noreturn void thread_exit(void) {
    struct thread *self = running;
    if (self->clear_tid && can_write(self->clear_tid, 4)) {
        *(uint32_t *)self->clear_tid = 0;
        thread_wake(self->clear_tid, ~0u, 1);
    }
    if (self == threads) { /* the machine's own context cannot end: it waits for the others, for ever */
        first_left = true;
        for (;;)
            thread_wait(&(struct waiter){.address = ~0ull}, NK_IDLE_FOREVER);
    }
    if (live == 1 && first_left)
        sys_exit_group((const uint64_t[]){0}, NULL);
    self->state = THREAD_FREE;
    live--;
    suspend();
    panic("threads: one that ended ran on");
}

int64_t sys_clone(const uint64_t *a, struct frame *frame) {
    uint64_t flags = a[0], stack = a[1];
    if ((flags & (CLONE_VM | CLONE_THREAD)) != (CLONE_VM | CLONE_THREAD))
        return -ENOSYS; /* no processes */
    if (!can_write(stack - 1024, 1024))
        return -EFAULT;
    if (((flags & CLONE_PARENT_SETTID) && !can_write(a[2], 4)) ||
        ((flags & (CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID)) && !can_write(a[3], 4)))
        return -EFAULT;
    struct thread *child = threads;
    while (child < threads + THREADS_MAX && child->state != THREAD_FREE)
        child++;
    if (child == threads + THREADS_MAX)
        return -EAGAIN;
    struct frame *copy = (struct frame *)(stack - RED_ZONE) - 1;
    *copy = *frame;
    copy->rax = 0;
    uint64_t *top = (uint64_t *)(((uintptr_t)copy - 16) & ~15ull);
    top[0] = (uint64_t)(uintptr_t)copy;
    top[-1] = (uint64_t)(uintptr_t)linux_child;
    uint8_t *floating = memset((uint8_t *)(top - 7) - 520, 0, 520 + 48);
    linux_fx_save(floating);
    *child = (struct thread){
        .stack = floating,
        .fs = flags & CLONE_SETTLS ? a[4] : running->fs,
        .tid = ++last_tid,
        .state = THREAD_READY,
        .clear_tid = flags & CLONE_CHILD_CLEARTID ? a[3] : 0,
        .blocked = running->blocked,
    };
    live++;
    if (flags & CLONE_PARENT_SETTID)
        *(int *)a[2] = child->tid;
    if (flags & CLONE_CHILD_SETTID)
        *(int *)a[3] = child->tid;
    return child->tid;
}

static int64_t futex_wait(uint64_t address, uint32_t value, uint32_t bits, uint64_t deadline_ns) {
    if (*(const volatile uint32_t *)address != value)
        return -EAGAIN;
    struct waiter waiter = {.address = address, .bits = bits};
    if (thread_wait(&waiter, deadline_ns))
        return 0;
    return NK_INFO->mono_ns >= deadline_ns ? -ETIMEDOUT : -EINTR;
}

static int64_t requeue(uint64_t from, uint64_t to, unsigned wake, unsigned move) {
    unsigned done = thread_wake(from, ~0u, wake), moved = 0;
    for (struct waiter *waiter = waiters; waiter && moved < move; waiter = waiter->next)
        if (!waiter->woken && waiter->address == from) {
            waiter->address = to;
            moved++;
        }
    return done + moved;
}

int64_t sys_futex(const uint64_t *a, struct frame *frame) {
    (void)frame;
    uint64_t operation = a[1] & 0x7F, deadline_ns;
    int64_t error;
    if (a[0] % 4)
        return -EINVAL;
    if (!can_read(a[0], 4))
        return -EFAULT;
    switch (operation) {
    case FUTEX_WAIT:
    case FUTEX_WAIT_BITSET:
        deadline_ns = deadline_of(a[3], operation == FUTEX_WAIT_BITSET, a[1] & FUTEX_CLOCK_REALTIME, &error);
        if (error)
            return error;
        return futex_wait(a[0], (uint32_t)a[2], operation == FUTEX_WAIT ? ~0u : (uint32_t)a[5], deadline_ns);
    case FUTEX_WAKE:
        return thread_wake(a[0], ~0u, (unsigned)a[2]);
    case FUTEX_WAKE_BITSET:
        return thread_wake(a[0], (uint32_t)a[5], (unsigned)a[2]);
    case FUTEX_CMP_REQUEUE:
        if (*(const volatile uint32_t *)a[0] != (uint32_t)a[5])
            return -EAGAIN;
        return requeue(a[0], a[4], (unsigned)a[2], (unsigned)a[3]);
    case FUTEX_REQUEUE:
        return requeue(a[0], a[4], (unsigned)a[2], (unsigned)a[3]);
    default:
        return -ENOSYS;
    }
}

int64_t sys_set_tid_address(const uint64_t *a, struct frame *frame) {
    (void)frame;
    running->clear_tid = a[0];
    return running->tid;
}

int64_t sys_gettid(const uint64_t *a, struct frame *frame) {
    (void)a, (void)frame;
    return running->tid;
}

int64_t sys_exit(const uint64_t *a, struct frame *frame) {
    if (live == 0)
        return sys_exit_group(a, frame);
    thread_exit();
}

int64_t sys_sched_yield(const uint64_t *a, struct frame *frame) {
    (void)a, (void)frame;
    thread_yield();
    return 0;
}

int64_t sys_arch_prctl(const uint64_t *a, struct frame *frame) {
    (void)frame;
    if (a[0] == ARCH_SET_FS) {
        if (a[1] >= NK_INFO->memory_bytes)
            return -EPERM;
        running->fs = a[1];
        set_fs(a[1]);
        return 0;
    }
    if (a[0] == ARCH_GET_FS) {
        if (!can_write(a[1], 8))
            return -EFAULT;
        *(uint64_t *)a[1] = running->fs;
        return 0;
    }
    return -EINVAL;
}
