/* Takes records as they arrive, by interrupts and without libOS's request loop: what a notification for each costs.

   The handler drains the gate until nothing is pending, so records that came together need one notification. An empty
   record has it say on the console how many records and how many interrupts there were. */
#include <nunatak.h>

static unsigned long records, interrupts, sum;

#define HYPERCALL(port, first) \
    __asm__ volatile("outb %%al, %0\n\tjmp 1f\n1:" ::"i"(port), "D"((uint64_t)(first)), "S"(0ul) : "rax", "memory")

void on_interrupt(void); /* saves what C may change, calls `handle`, returns as the architecture says (abi.h) */
__asm__("on_interrupt:\n"
        "  push %rax; push %rcx; push %rdx; push %rsi; push %rdi; push %r8; push %r9; push %r10; push %r11; push %rbp\n"
        "  mov %rsp, %rbp; and $-16, %rsp; cld; call handle; mov %rbp, %rsp\n"
        "  pop %rbp; pop %r11; pop %r10; pop %r9; pop %r8; pop %rdi; pop %rsi; pop %rdx; pop %rcx; pop %rax\n"
        "  popf; ret $128\n");

static void report(void) {
    char line[96];
    nk_snprintf(line, sizeof line, "records %lu interrupts %lu sum %lu", records, interrupts, sum);
    nk_puts(line);
}

/* One record: 64 bytes are added up, as little as a device's event may be worth. */
static void take(const struct nk_record_header *record) {
    const unsigned long *words = (const void *)(record + 1);
    for (unsigned at = 0; at < record->length / sizeof *words; at++)
        sum += words[at];
    records++;
    if (!record->length)
        report();
}

__attribute__((used)) void handle(void) {
    uint32_t tail = NK_CONTROL->in_tail;
    interrupts++;
    while (tail != NK_INFO->in_head) {
        const struct nk_record_header *record = (const void *)(NK_GATE_IN_ADDRESS + (unsigned long)(tail % NK_GATE_SIZE));
        uint32_t rest = NK_GATE_SIZE - tail % NK_GATE_SIZE;
        if (rest < NK_RECORD_HEADER_SIZE) {
            tail += rest;
            continue;
        }
        if (record->type == NK_RECORD_BODY)
            take(record);
        tail += NK_RECORD_HEADER_SIZE + ((record->length + NK_RECORD_ALIGN - 1) & ~(NK_RECORD_ALIGN - 1u));
    }
    NK_CONTROL->in_tail = tail;
    NK_CONTROL->irq_enable = 1;
}

int main(void) {
    NK_CONTROL->irq_handler = (uint64_t)on_interrupt;
    NK_CONTROL->irq_mask = NK_IRQ_GATE;
    NK_CONTROL->irq_enable = 1;
    HYPERCALL(NK_PORT_READY, 0);
    for (;;)
        HYPERCALL(NK_PORT_IDLE, NK_IDLE_FOREVER);
}
