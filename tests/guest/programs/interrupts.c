/* Interrupts: a timer on either timeline reaches a handler, and the interrupted code does not notice. */
#include "nunatak.h"

static volatile uint64_t taken, seen_pending, wrong;

void on_interrupt(void); /* below: saves what C may change, calls `handle`, returns as the architecture says */
__asm__("on_interrupt:\n"
        "  push %rax; push %rcx; push %rdx; push %rsi; push %rdi; push %r8; push %r9; push %r10; push %r11; push %rbp\n"
        "  mov %rsp, %rbp; and $-16, %rsp; sub $512, %rsp; fxsave (%rsp)\n"
        "  cld; call handle\n"
        "  fxrstor (%rsp); mov %rbp, %rsp\n"
        "  pop %rbp; pop %r11; pop %r10; pop %r9; pop %r8; pop %rdi; pop %rsi; pop %rdx; pop %rcx; pop %rax\n"
        "  popf; ret $128\n");

static int64_t timer(uint64_t deadline_ns, uint64_t timeline) {
    int64_t result;
    __asm__ volatile("outb %%al, %1\n\tjmp 1f\n1:"
                     : "=a"(result) : "i"(NK_PORT_TIMER), "D"(deadline_ns), "S"(timeline) : "memory");
    return result;
}

__attribute__((used)) void handle(void) {
    taken++;
    seen_pending |= NK_INFO->pending;
    if (NK_CONTROL->irq_enable != 0) /* the VMM disables before it delivers */
        wrong++;
    timer(0, NK_TIMELINE_PHYSICAL); /* clears the cause */
    NK_CONTROL->irq_enable = 1;
}

/* Registers, flags and the red zone hold patterns while an interrupt comes: none may change. */
static uint64_t spin_until_taken(uint64_t before) {
    uint64_t bad;
    __asm__ volatile(
        "mov $0x1111, %%rax; mov $0x2222, %%rdx; mov $0x3333, %%rsi; mov $0x4444, %%r8; mov $0x5555, %%r11\n"
        "movq %%rdx, %%xmm7; movq $0x7777, -8(%%rsp); movq $0x8888, -120(%%rsp)\n"
        "stc\n"
        "1: jnc 9f\n"
        "   mov %[taken], %%rcx; lea (%%rcx), %%rcx; pushf; pop %%r9\n"
        "   movq $0x7777, -8(%%rsp)\n"
        "   cmp %[before], %%rcx; je 2f; push %%r9; popf; jmp 3f\n"
        "2: stc; jmp 1b\n"
        "3: cmp $0x1111, %%rax; jne 9f; cmp $0x2222, %%rdx; jne 9f; cmp $0x3333, %%rsi; jne 9f\n"
        "   cmp $0x4444, %%r8; jne 9f; cmp $0x5555, %%r11; jne 9f\n"
        "   movq %%xmm7, %%rcx; cmp $0x2222, %%rcx; jne 9f\n"
        "   cmpq $0x8888, -120(%%rsp); jne 9f\n"
        "   xor %[bad], %[bad]; jmp 10f\n"
        "9: mov $1, %[bad]\n"
        "10:\n"
        : [bad] "=&r"(bad)
        : [taken] "m"(taken), [before] "r"(before)
        : "rax", "rcx", "rdx", "rsi", "r8", "r9", "r11", "xmm7", "memory", "cc");
    return bad;
}

static void page(nk_request *request) {
    const char *path = nk_var(request, "PATH_INFO");
    uint64_t before = taken, timeline = strcmp(path, "/virtual") == 0 ? NK_TIMELINE_VIRTUAL : NK_TIMELINE_PHYSICAL;
    NK_CONTROL->irq_mask = strcmp(path, "/masked") == 0 ? 0 : NK_IRQ_TIMER;
    if (strcmp(path, "/no-stack") == 0)
        __asm__ volatile("mov $8, %%rsp\n\toutb %%al, %0\n\tjmp 1f\n1:" ::"i"(NK_PORT_TIMER), "D"(1ull), "S"(0ull));
    if (strcmp(path, "/no-handler") == 0)
        NK_CONTROL->irq_handler = ~0ull;
    uint64_t now = timeline == NK_TIMELINE_VIRTUAL ? nk_virtual_ns() : nk_mono_ns();
    timer(now + 2000000, timeline);
    uint64_t bad = 0;
    if (NK_CONTROL->irq_mask)
        bad = spin_until_taken(before);
    else
        for (unsigned turn = 0; turn < 50 && !(NK_INFO->pending & NK_IRQ_TIMER); turn++)
            for (volatile unsigned n = 0; n < 100000; n++)
                if (n % 1000 == 0)
                    nk_refresh_clock();
    nk_printf(request, "taken %lu, pending %lx, now %lx, bad %lu, wrong %lu", taken - before,
              seen_pending & NK_IRQ_TIMER, NK_INFO->pending & NK_IRQ_TIMER, bad, wrong);
    timer(0, NK_TIMELINE_PHYSICAL);
}

int main(void) {
    NK_CONTROL->irq_handler = (uint64_t)on_interrupt;
    NK_CONTROL->irq_enable = 1;
    return nk_serve(page);
}
