/*
 * The first thread's stack: between the program and its heap, with a guard page below it that is nobody's. The build lays
 * it out (origin/bake/layout.py); its top is where the heap begins, its low end a page after the program's.
 */
#include "memory.h"

#define SMALLEST 0x40000 /* bytes; of a program that has no headers in memory to say where it ends */

static uint64_t low, top, base;

struct header { /* gABI, "Program Header" */
    uint32_t kind, flags;
    uint64_t offset, start, physical, file_size, size, align;
};

void stack_begin(void) {
    enum { LOAD = 1, HEADERS = 6 };
    const struct header *parts = (const struct header *)NK_INFO->phdr;
    uint64_t end = 0;
    top = NK_INFO->heap;
    low = top - SMALLEST;
    base = 0;
    for (unsigned i = 0; parts && i < NK_INFO->phnum; i++) {
        if (parts[i].kind == HEADERS)
            base = NK_INFO->phdr - parts[i].start;
        if (parts[i].kind == LOAD && parts[i].start + parts[i].size > end)
            end = parts[i].start + parts[i].size;
    }
    if (base == 0 && end < NK_PROGRAM_ADDRESS)
        base = NK_PROGRAM_ADDRESS; /* one that is moved, and says nothing of its headers */
    if (end)
        low = ALIGN_UP(base + end, NK_PAGE_SIZE) + NK_PAGE_SIZE;
}

uint64_t stack_low(void) {
    return low;
}

uint64_t stack_top(void) {
    return top;
}

uint64_t program_base(void) {
    return base;
}
