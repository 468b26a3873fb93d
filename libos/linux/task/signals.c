/*
 * Signals that a program sends itself. They are delivered when a system call returns, on the caller's stack or the
 * alternate one, with the kernel's frame (arch/x86/include/uapi/asm/sigcontext.h), and end by rt_sigreturn.
 */
#include "task.h"

#define SIGNALS 64
#define SIGCHLD 17
#define SIGCONT 18
#define SIGURG 23
#define SIGWINCH 28
#define SIG_IGN 1
#define SA_SIGINFO 4
#define SA_ONSTACK 0x08000000
#define SA_NODEFER 0x40000000
#define SA_RESETHAND 0x80000000
#define NEVER_BLOCKED (1ull << (9 - 1) | 1ull << (19 - 1)) /* KILL, STOP */
#define SI_TKILL (-6)
#define SS_DISABLE 2

struct action {
    uint64_t handler, flags, restorer, mask;
};

struct signal_frame {
    uint64_t restorer;
    struct { /* struct ucontext */
        uint64_t flags, link, stack[3];
        uint64_t r8, r9, r10, r11, r12, r13, r14, r15, rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip, rflags;
        uint64_t selectors, error, trap, old_mask, cr2, floating, reserved[8];
        uint64_t mask;
    } context;
    int32_t info[32];
    uint8_t floating[512 + 16];
};

static struct action actions[SIGNALS + 1];

/* Aligned for FXSAVE; found again from the frame's place, not from what the handler left in it. */
static uint8_t *floating_of(struct signal_frame *frame) {
    return (uint8_t *)ALIGN_UP((uintptr_t)frame->floating, 16);
}

static uint64_t bit_of(int number) {
    return 1ull << (number - 1);
}

void signal_raise(int number) {
    running->pending |= bit_of(number);
}

_Noreturn static void die(int number) {
    if (NK_INFO->program_kind == NK_PROGRAM_RUN)
        cgi_exit(128 + number);
    log_line("ended by signal %d", number);
    if (NK_INFO->program_kind == NK_PROGRAM_CGI)
        cgi_exit(128 + number);
    for (;;)
        HYPERCALL(NK_PORT_EXIT, 128 + number, 0);
}

/* Makes the frame's return go to the handler of the lowest pending signal, and the handler's return to the frame. */
void signal_deliver(struct frame *frame) {
    int number = __builtin_ctzll(running->pending & ~running->blocked) + 1;
    struct action *action = actions + number, used = *action;
    running->pending &= ~bit_of(number);
    if (used.handler == SIG_IGN ||
        (!used.handler && (number == SIGCHLD || number == SIGCONT || number == SIGURG || number == SIGWINCH)))
        return;
    if (!used.handler)
        die(number);
    uintptr_t rsp = FRAME_RSP(frame), low = rsp - RED_ZONE - sizeof(struct frame) - 4096;
    bool alternate = (used.flags & SA_ONSTACK) && running->alt_size && rsp - running->alt_stack > running->alt_size;
    if (alternate)
        low = running->alt_stack + running->alt_size;
    /* RSP + 8 is a multiple of 16 where a function begins */
    struct signal_frame *to = (struct signal_frame *)(((low - sizeof *to) & ~15ull) - 8);
    if (!can_write((uint64_t)(uintptr_t)to, sizeof *to))
        die(11);
    memset(to, 0, sizeof *to);
    to->restorer = used.restorer;
    to->context.stack[0] = running->alt_stack;
    to->context.stack[2] = running->alt_size;
    to->context.r8 = frame->r8, to->context.r9 = frame->r9, to->context.r10 = frame->r10;
    to->context.r11 = frame->rflags, to->context.r12 = frame->r12, to->context.r13 = frame->r13;
    to->context.r14 = frame->r14, to->context.r15 = frame->r15, to->context.rdi = frame->rdi;
    to->context.rsi = frame->rsi, to->context.rbp = frame->rbp, to->context.rbx = frame->rbx;
    to->context.rdx = frame->rdx, to->context.rax = frame->rax, to->context.rcx = frame->rip;
    to->context.rsp = rsp, to->context.rip = frame->rip, to->context.rflags = frame->rflags;
    to->context.mask = running->blocked;
    context_save_fx(floating_of(to));
    to->context.floating = (uint64_t)(uintptr_t)floating_of(to);
    to->info[0] = number;
    to->info[2] = SI_TKILL;
    to->info[4] = PROCESS_ID;
    running->blocked |= used.mask | (used.flags & SA_NODEFER ? 0 : bit_of(number));
    running->blocked &= ~NEVER_BLOCKED;
    if (used.flags & SA_RESETHAND)
        action->handler = 0;
    struct frame *handler = (struct frame *)((uintptr_t)to - RED_ZONE) - 1;
    *handler = (struct frame){
        .rip = used.handler,
        .rflags = 0x202,
        .rdi = (uint64_t)number,
        .rsi = (uint64_t)(uintptr_t)to->info,
        .rdx = (uint64_t)(uintptr_t)&to->context,
    };
    context_return(handler);
}

int64_t sys_rt_sigreturn(const uint64_t *a, struct frame *frame) {
    (void)a;
    struct signal_frame *from = (struct signal_frame *)(FRAME_RSP(frame) - 8); /* the handler's `ret` took the first word */
    if (!can_write((uint64_t)(uintptr_t)from, sizeof *from))
        die(11);
    uint64_t rsp = from->context.rsp;
    if (!can_write(rsp - RED_ZONE - sizeof(struct frame), sizeof(struct frame)))
        die(11);
    struct frame back = {
        .r15 = from->context.r15, .r14 = from->context.r14, .r13 = from->context.r13, .r12 = from->context.r12,
        .rbp = from->context.rbp, .rbx = from->context.rbx, .rflags = from->context.rflags, .rip = from->context.rip,
        .rax = from->context.rax, .rdx = from->context.rdx, .rsi = from->context.rsi, .rdi = from->context.rdi,
        .r8 = from->context.r8, .r9 = from->context.r9, .r10 = from->context.r10,
    };
    running->blocked = from->context.mask & ~NEVER_BLOCKED;
    *(uint32_t *)(floating_of(from) + 24) &= 0xFFFF; /* MXCSR: reserved bits would fault */
    context_load_fx(floating_of(from));
    struct frame *to = (struct frame *)(rsp - RED_ZONE) - 1;
    *to = back;
    if (running->pending & ~running->blocked)
        signal_deliver(to);
    context_return(to);
}

int64_t sys_rt_sigaction(const uint64_t *a, struct frame *frame) {
    (void)frame;
    if (a[0] < 1 || a[0] > SIGNALS || (a[1] && NEVER_BLOCKED & bit_of((int)a[0])))
        return -EINVAL;
    if ((a[1] && !can_read(a[1], sizeof(struct action))) || (a[2] && !can_write(a[2], sizeof(struct action))))
        return -EFAULT;
    struct action old = actions[a[0]];
    if (a[1])
        actions[a[0]] = *(const struct action *)a[1];
    if (a[2])
        *(struct action *)a[2] = old;
    return 0;
}

int64_t sys_rt_sigprocmask(const uint64_t *a, struct frame *frame) {
    (void)frame;
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
    *(uint64_t *)a[0] = running->pending & running->blocked;
    return 0;
}

int64_t sys_pause(const uint64_t *a, struct frame *frame) {
    (void)a, (void)frame;
    thread_wait(&(struct waiter){.address = ~0ull}, NK_IDLE_FOREVER);
    return -EINTR;
}

int64_t sys_rt_sigsuspend(const uint64_t *a, struct frame *frame) {
    if (!can_read(a[0], 8))
        return -EFAULT;
    uint64_t old = running->blocked;
    running->blocked = *(const uint64_t *)a[0] & ~NEVER_BLOCKED;
    sys_pause(a, frame);
    frame->rax = (uint64_t)-EINTR;
    if (running->pending & ~running->blocked) {
        uint64_t now = running->blocked;
        running->blocked = old;
        int number = __builtin_ctzll(running->pending & ~now) + 1;
        running->blocked &= ~bit_of(number); /* this one comes through; the old mask holds again after it */
    } else {
        running->blocked = old;
    }
    return -EINTR;
}

int64_t sys_sigaltstack(const uint64_t *a, struct frame *frame) {
    (void)frame;
    if ((a[0] && !can_read(a[0], 24)) || (a[1] && !can_write(a[1], 24)))
        return -EFAULT;
    const uint64_t old[3] = {running->alt_stack, running->alt_size ? 0 : SS_DISABLE, running->alt_size};
    if (a[0]) {
        const uint64_t *stack = (const uint64_t *)a[0];
        bool off = (uint32_t)stack[1] & SS_DISABLE;
        if (!off && (stack[2] < 2048 || !can_write(stack[0], stack[2])))
            return -ENOMEM;
        running->alt_stack = off ? 0 : stack[0];
        running->alt_size = off ? 0 : stack[2];
    }
    if (a[1])
        memcpy((void *)a[1], old, sizeof old);
    return 0;
}

static int64_t send(struct thread *thread, uint64_t number) {
    if (number > SIGNALS)
        return -EINVAL;
    if (!number)
        return 0;
    thread->pending |= bit_of((int)number);
    if (thread != running && !(thread->blocked & bit_of((int)number)))
        thread_interrupt(thread);
    return 0;
}

static int64_t send_to(int tid, uint64_t number) {
    for (struct thread *thread = threads; thread < threads + THREADS_MAX; thread++)
        if (thread->state != THREAD_FREE && thread->tid == tid)
            return send(thread, number);
    return -ESRCH;
}

/* To the process: to a thread that does not block it, the running one first. */
int64_t sys_kill(const uint64_t *a, struct frame *frame) {
    (void)frame;
    int target = (int)a[0];
    if (target != PROCESS_ID && target != 0 && target != -1 && target != -PROCESS_ID)
        return -ESRCH;
    if (a[1] && a[1] <= SIGNALS && running->blocked & bit_of((int)a[1]))
        for (struct thread *thread = threads; thread < threads + THREADS_MAX; thread++)
            if (thread->state != THREAD_FREE && !(thread->blocked & bit_of((int)a[1])))
                return send(thread, a[1]);
    return send(running, a[1]);
}

int64_t sys_tkill(const uint64_t *a, struct frame *frame) {
    (void)frame;
    return send_to((int)a[0], a[1]);
}

int64_t sys_tgkill(const uint64_t *a, struct frame *frame) {
    (void)frame;
    return (int)a[0] == PROCESS_ID ? send_to((int)a[1], a[2]) : -ESRCH;
}
