/* A timer on virtual time every 2 ms for 100 ms of it, while the guest does nothing but compute: how many came. */
#include "nunatak.h"

#define PERIOD_NS 2000000ul
#define SPAN_NS 100000000ul

static volatile unsigned long taken;

void on_interrupt(void); /* see interrupts.c */
__asm__("on_interrupt:\n"
        "  push %rax; push %rcx; push %rdx; push %rsi; push %rdi; push %r8; push %r9; push %r10; push %r11; push %rbp\n"
        "  mov %rsp, %rbp; and $-16, %rsp; cld; call handle; mov %rbp, %rsp\n"
        "  pop %rbp; pop %r11; pop %r10; pop %r9; pop %r8; pop %rdi; pop %rsi; pop %rdx; pop %rcx; pop %rax\n"
        "  popf; ret $128\n");

static void timer(uint64_t deadline_ns) {
    __asm__ volatile("outb %%al, %0\n\tjmp 1f\n1:"
                     :: "i"(NK_PORT_TIMER), "D"(deadline_ns), "S"((uint64_t)NK_TIMELINE_VIRTUAL) : "rax", "memory");
}

__attribute__((used)) void handle(void) {
    taken++;
    timer(nk_virtual_ns() + PERIOD_NS);
    NK_CONTROL->irq_enable = 1;
}

static void page(nk_request *request) {
    nk_refresh_clock();
    uint64_t until = nk_virtual_ns() + SPAN_NS;
    taken = 0;
    timer(nk_virtual_ns() + PERIOD_NS);
    while (nk_virtual_ns() < until) /* read without an exit: it changes when an interrupt comes, and not before */
        ;
    timer(0);
    nk_printf(request, "%lu", taken);
}

int main(void) {
    NK_CONTROL->irq_handler = (uint64_t)on_interrupt;
    NK_CONTROL->irq_mask = NK_IRQ_TIMER;
    NK_CONTROL->irq_enable = 1;
    return nk_serve(page);
}
