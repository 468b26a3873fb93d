/*
 * How a signal's handler is entered when a system call returns, on the caller's stack or the alternate one, with the
 * kernel's frame (arch/x86/include/uapi/asm/sigcontext.h), and how rt_sigreturn leaves it.
 */
#include "task.h"

#define SA_SIGINFO 4
#define SA_ONSTACK 0x08000000
#define SA_RESTART 0x10000000
#define SA_NODEFER 0x40000000
#define SA_RESETHAND 0x80000000
#define SYSCALL_INSTRUCTION 0x050F

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

/* Aligned for FXSAVE; found again from the frame's place, not from what the handler left in it. */
static uint8_t *floating_of(struct signal_frame *frame) {
    return (uint8_t *)ALIGN_UP((uintptr_t)frame->floating, 16);
}

/* Calls that go on from the beginning after a handler that wants it so (signal(7)). */
static bool restarts(uint64_t number) {
    static const uint8_t calls[] = {0, 1, 19, 20, 72, 73, 202};
    for (size_t i = 0; i < sizeof calls; i++)
        if (calls[i] == number)
            return true;
    return false;
}

static void restart(struct frame *frame, uint64_t number) {
    if ((int64_t)frame->rax != -EINTR || !restarts(number) || !can_read(frame->rip - 2, 2) ||
        *(const uint16_t *)(frame->rip - 2) != SYSCALL_INSTRUCTION)
        return;
    frame->rax = number;
    frame->rip -= 2;
}

/* Makes the frame's return go to the handlers of what is pending, the last one first as on Linux, and theirs to the frame.
 * `call`: the number of the system call that returns. */
static void signal_deliver(struct frame *frame, uint64_t call) {
    struct signal_information information;
    int number = signal_take(~running->blocked, &information);
    if (!number)
        return;
    struct signal_action *action = signal_actions + number, used = *action;
    if (used.handler == SIG_IGN || (used.handler == SIG_DFL && SIGNAL_BIT(number) & IGNORED_BY_DEFAULT)) {
        signal_deliver(frame, call);
        return;
    }
    if (used.handler == SIG_DFL)
        signal_die(number);
    if (used.flags & SA_RESTART)
        restart(frame, call);
    uintptr_t rsp = FRAME_RSP(frame), low = rsp - RED_ZONE - sizeof(struct frame) - 4096;
    bool alternate = (used.flags & SA_ONSTACK) && running->alt_size && rsp - running->alt_stack > running->alt_size;
    if (alternate)
        low = running->alt_stack + running->alt_size;
    /* RSP + 8 is a multiple of 16 where a function begins */
    struct signal_frame *to = (struct signal_frame *)(((low - sizeof *to) & ~15ull) - 8);
    if (!can_write((uint64_t)(uintptr_t)to, sizeof *to))
        signal_die(SIGSEGV);
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
    to->context.mask = running->restores ? running->kept : running->blocked;
    running->restores = false;
    context_save_fx(floating_of(to));
    to->context.floating = (uint64_t)(uintptr_t)floating_of(to);
    signal_tell(to->info, number, &information);
    running->blocked = to->context.mask;
    running->blocked |= used.mask | (used.flags & SA_NODEFER ? 0 : SIGNAL_BIT(number));
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
    signal_deliver(handler, call);
    context_return(handler);
}

/* What a system call leaves behind it: signals that came, and a mask that was its own. */
void signals_after(struct frame *frame, uint64_t call) {
    timers_run();
    if (signals_pending() & ~running->blocked)
        signal_deliver(frame, call);
    if (running->restores)
        running->blocked = running->kept;
    running->restores = false;
}

int64_t sys_rt_sigreturn(const uint64_t *a, struct frame *frame) {
    (void)a;
    struct signal_frame *from = (struct signal_frame *)(FRAME_RSP(frame) - 8); /* the handler's `ret` took the first word */
    if (!can_write((uint64_t)(uintptr_t)from, sizeof *from))
        signal_die(SIGSEGV);
    uint64_t rsp = from->context.rsp;
    if (!can_write(rsp - RED_ZONE - sizeof(struct frame), sizeof(struct frame)))
        signal_die(SIGSEGV);
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
    if (signals_pending() & ~running->blocked)
        signal_deliver(to, NO_CALL);
    context_return(to);
}

