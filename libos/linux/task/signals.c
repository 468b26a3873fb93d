/*
 * Signals that a program sends itself, or its timers to it: who has which pending, and what is done about them. Those of
 * less than 32 are there once however often they come, the others each time, up to QUEUE_MAX. How a handler is entered and
 * left is in handlers.c.
 */
#include "task.h"

#define SI_USER 0
#define SI_TKILL (-6)
#define SS_DISABLE 2
#define REAL_TIME 32 /* the first that queues */
#define QUEUE_MAX 128

struct signal_action signal_actions[SIGNALS + 1];

static struct queued {
    int number;
    const struct thread *thread; /* NULL: any */
    struct signal_information information;
} queue[QUEUE_MAX];
static unsigned queued;
static uint64_t sent;

uint64_t signals_pending(void) {
    return running->pending | shared_pending;
}

uint64_t signals_sent(void) {
    return sent;
}

static bool ignored(int number) {
    uint64_t handler = signal_actions[number].handler;
    return handler == SIG_IGN || (handler == SIG_DFL && SIGNAL_BIT(number) & IGNORED_BY_DEFAULT);
}

_Noreturn void signal_die(int number) {
    if (NK_INFO->program_kind == NK_PROGRAM_RUN)
        cgi_exit(128 + number);
    log_line("ended by signal %d", number);
    if (NK_INFO->program_kind == NK_PROGRAM_CGI)
        cgi_exit(128 + number);
    for (;;)
        HYPERCALL(NK_PORT_EXIT, 128 + number, 0);
}

/* Who can have it: that thread, or the first that does not block it, the running one before all. */
static struct thread *taker(struct thread *thread, int number) {
    uint64_t bit = SIGNAL_BIT(number);
    if (thread)
        return thread;
    if (!(running->blocked & bit))
        return running;
    for (thread = threads; thread < threads + THREADS_MAX; thread++)
        if (thread->state != THREAD_FREE && (~thread->blocked | thread->awaits) & bit)
            return thread;
    return running;
}

/* To a thread, or with NULL to the process; -EAGAIN: too many are queued. */
int64_t signal_send(struct thread *thread, int number, struct signal_information information) {
    uint64_t bit = SIGNAL_BIT(number), *pending = thread ? &thread->pending : &shared_pending;
    struct thread *to = taker(thread, number);
    bool free = ~to->blocked & bit;
    if (ignored(number) && free && !(to->awaits & bit))
        return 0;
    if (free && signal_actions[number].handler == SIG_DFL && to != running)
        signal_die(number);
    if (number < REAL_TIME && *pending & bit)
        return 0;
    if (queued == QUEUE_MAX && number >= REAL_TIME)
        return -EAGAIN;
    if (queued < QUEUE_MAX)
        queue[queued++] = (struct queued){number, thread, information};
    *pending |= bit;
    sent++;
    thread_interrupt(to);
    files_changed();
    return 0;
}

void signal_raise(int number) {
    signal_send(running, number, (struct signal_information){.code = SI_TKILL, .process = PROCESS_ID});
}

/* Takes one of these that is pending for the running thread, the lowest; 0: there is none. */
int signal_take(uint64_t mask, struct signal_information *information) {
    uint64_t set = (running->pending | shared_pending) & mask;
    if (!set)
        return 0;
    int number = __builtin_ctzll(set) + 1;
    uint64_t bit = SIGNAL_BIT(number);
    const struct thread *thread = running->pending & bit ? running : NULL;
    unsigned more = 0;
    bool found = false;
    *information = (struct signal_information){.code = SI_USER, .process = PROCESS_ID};
    for (unsigned i = 0; i < queued; i++) {
        if (queue[i].number != number || queue[i].thread != thread)
            continue;
        if (found) {
            more++;
            continue;
        }
        found = true;
        *information = queue[i].information;
        memmove(queue + i, queue + i + 1, (--queued - i) * sizeof *queue);
        i--;
    }
    if (!more)
        *(thread ? &running->pending : &shared_pending) &= ~bit;
    return number;
}

/* A mask for the time of one call: poll's, select's and epoll's. It is undone when the call returns, or by the handler. */
int64_t mask_for_call(uint64_t address, uint64_t size) {
    if (!address)
        return 0;
    if (size != 8)
        return -EINVAL;
    if (!can_read(address, 8))
        return -EFAULT;
    running->kept = running->blocked;
    running->restores = true;
    running->blocked = *(const uint64_t *)address & ~NEVER_BLOCKED;
    return 0;
}

int64_t sys_rt_sigaction(const uint64_t *a, struct frame *frame) {
    (void)frame;
    if (a[0] < 1 || a[0] > SIGNALS || (a[1] && NEVER_BLOCKED & SIGNAL_BIT(a[0])) || a[3] != 8)
        return -EINVAL;
    if ((a[1] && !can_read(a[1], sizeof *signal_actions)) || (a[2] && !can_write(a[2], sizeof *signal_actions)))
        return -EFAULT;
    struct signal_action old = signal_actions[a[0]];
    if (a[1]) {
        signal_actions[a[0]] = *(const struct signal_action *)a[1];
        signal_actions[a[0]].mask &= ~NEVER_BLOCKED;
        if (ignored((int)a[0])) { /* what is pending goes, too */
            struct signal_information nothing;
            while (signal_take(SIGNAL_BIT(a[0]), &nothing))
                ;
        }
    }
    if (a[2])
        *(struct signal_action *)a[2] = old;
    return 0;
}

int64_t sys_rt_sigprocmask(const uint64_t *a, struct frame *frame) {
    (void)frame;
    if (a[3] != 8)
        return -EINVAL;
    if ((a[1] && !can_read(a[1], 8)) || (a[2] && !can_write(a[2], 8)))
        return -EFAULT;
    uint64_t old = running->blocked;
    if (a[1]) {
        uint64_t set = *(const uint64_t *)a[1];
        if (a[0] > 2)
            return -EINVAL;
        running->blocked = (a[0] == 0 ? old | set : a[0] == 1 ? old & ~set : set) & ~NEVER_BLOCKED;
    }
    if (a[2])
        *(uint64_t *)a[2] = old;
    return 0;
}

int64_t sys_rt_sigpending(const uint64_t *a, struct frame *frame) {
    (void)frame;
    if (!can_write(a[0], 8))
        return -EFAULT;
    *(uint64_t *)a[0] = signals_pending() & running->blocked;
    return 0;
}

int64_t sys_pause(const uint64_t *a, struct frame *frame) {
    (void)a, (void)frame;
    thread_wait(&(struct waiter){.address = ~0ull}, NK_IDLE_FOREVER);
    return -EINTR;
}

int64_t sys_rt_sigsuspend(const uint64_t *a, struct frame *frame) {
    if (!a[0])
        return -EFAULT;
    int64_t error = mask_for_call(a[0], a[1]);
    return error ? error : sys_pause(a, frame);
}

/* As siginfo_t has it: 128 bytes, zero but for these. */
void signal_tell(int *to, int number, const struct signal_information *information) {
    memset(to, 0, 128);
    to[0] = number;
    to[2] = information->code;
    to[4] = information->process;
    memcpy(to + 6, &information->value, 8);
}

int64_t sys_rt_sigtimedwait(const uint64_t *a, struct frame *frame) {
    (void)frame;
    enum { SIZE = 128 };
    struct signal_information information;
    int64_t error;
    if (a[3] != 8)
        return -EINVAL;
    if (!can_read(a[0], 8) || (a[1] && !can_write(a[1], SIZE)))
        return -EFAULT;
    uint64_t set = *(const uint64_t *)a[0] & ~NEVER_BLOCKED, deadline_ns = deadline_of(a[2], false, false, &error);
    if (error)
        return error;
    int number = signal_take(set, &information);
    if (!number) {
        running->awaits = set;
        thread_wait(&(struct waiter){.address = ~0ull}, deadline_ns);
        running->awaits = 0;
        number = signal_take(set, &information);
    }
    if (!number)
        return interrupted(running) ? -EINTR : -EAGAIN;
    if (a[1])
        signal_tell((int *)a[1], number, &information);
    return number;
}

int64_t sys_sigaltstack(const uint64_t *a, struct frame *frame) {
    if ((a[0] && !can_read(a[0], 24)) || (a[1] && !can_write(a[1], 24)))
        return -EFAULT;
    bool on_it = frame && FRAME_RSP(frame) - running->alt_stack <= running->alt_size && running->alt_size;
    const uint64_t old[3] = {running->alt_stack, running->alt_size ? on_it : SS_DISABLE, running->alt_size};
    if (a[0]) {
        const uint64_t *stack = (const uint64_t *)a[0];
        uint32_t flags = (uint32_t)stack[1];
        if (on_it)
            return -EPERM;
        if (flags & ~(uint32_t)(SS_DISABLE | 1 | 0x80000000))
            return -EINVAL;
        bool off = flags & SS_DISABLE;
        if (!off && (stack[2] < 2048 || !can_write(stack[0], stack[2])))
            return -ENOMEM;
        running->alt_stack = off ? 0 : stack[0];
        running->alt_size = off ? 0 : stack[2];
    }
    if (a[1])
        memcpy((void *)a[1], old, sizeof old);
    return 0;
}

/* ---- sending ---- */

static int64_t send(struct thread *thread, uint64_t number, struct signal_information information) {
    if (number > SIGNALS)
        return -EINVAL;
    return number ? signal_send(thread, (int)number, information) : 0;
}

static bool is_us(int target) {
    return target == PROCESS_ID || target == 0 || target == -PROCESS_ID;
}

int64_t sys_kill(const uint64_t *a, struct frame *frame) {
    (void)frame;
    int target = (int)a[0];
    if (a[1] > SIGNALS)
        return -EINVAL;
    if (!is_us(target) && target != -1)
        return -ESRCH;
    return send(NULL, a[1], (struct signal_information){.code = SI_USER, .process = PROCESS_ID});
}

int64_t sys_tkill(const uint64_t *a, struct frame *frame) {
    (void)frame;
    struct thread *thread = (int)a[0] > 0 ? thread_of((int)a[0]) : NULL;
    if ((int)a[0] <= 0)
        return -EINVAL;
    return thread ? send(thread, a[1], (struct signal_information){.code = SI_TKILL, .process = PROCESS_ID}) : -ESRCH;
}

int64_t sys_tgkill(const uint64_t *a, struct frame *frame) {
    if ((int)a[0] <= 0 || (int)a[1] <= 0)
        return -EINVAL;
    return (int)a[0] == PROCESS_ID ? sys_tkill(a + 1, frame) : -ESRCH;
}

/* With a value of the sender's. */
static int64_t send_queued(struct thread *thread, uint64_t number, uint64_t address) {
    if (!can_read(address, 128))
        return -EFAULT;
    const int *from = (const int *)address;
    struct signal_information information = {.code = from[2], .process = from[4]};
    memcpy(&information.value, from + 6, 8);
    return send(thread, number, information);
}

int64_t sys_rt_sigqueueinfo(const uint64_t *a, struct frame *frame) {
    (void)frame;
    return is_us((int)a[0]) ? send_queued(NULL, a[1], a[2]) : -ESRCH;
}

int64_t sys_rt_tgsigqueueinfo(const uint64_t *a, struct frame *frame) {
    (void)frame;
    struct thread *thread = thread_of((int)a[1]);
    return (int)a[0] == PROCESS_ID && thread ? send_queued(thread, a[2], a[3]) : -ESRCH;
}
