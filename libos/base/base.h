/*
 * What base/ offers to all above it: what needs no ring and no request. It calls nobody but itself and, by HYPERCALL, the
 * VMM. One section per file, in reading order.
 */
#ifndef BASE_H
#define BASE_H

#include "../include/nunatak.h"
#include "archive.h"

#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define ALIGN_UP(value, to) (((value) + (to) - 1) & ~((uintptr_t)(to) - 1))

/*
 * ---- hypercalls: `out` to a port, arguments in RDI and RSI, result in RAX ----
 * The jump ends the basic block: an emulating engine leaves the guest only there.
 */
#define HYPERCALL(port, first, second)                                                                             \
    ({                                                                                                             \
        int64_t result = 0;                                                                                        \
        __asm__ volatile("outb %%al, %1\n\tjmp 1f\n1:"                                                             \
                         : "+a"(result)                                                                            \
                         : "i"(port), "D"((uint64_t)(first)), "S"((uint64_t)(second))                              \
                         : "memory");                                                                              \
        result;                                                                                                    \
    })

/* ---- panic.c ---- */
_Noreturn void panic(const char *why);

/* ---- console.c ---- */
void console_put(const char *text, size_t length);
void console_line(const char *line);

/* ---- string.c: also memcpy and its family ---- */
size_t printable_span(const char *text);
size_t span_until(const char *text, char stop);

/* ---- format.c ---- */
struct sink {
    char *at, *end;
    bool (*full)(struct sink *sink); /* makes room and returns true; NULL or false: the rest is only counted */
    void *owner;
};
int format_to(struct sink *sink, const char *format, va_list arguments);
int format_buffer(char *to, size_t size, const char *format, ...);
int format_buffer_v(char *to, size_t size, const char *format, va_list arguments);

/* ---- env.c ---- */
const char *env_value(const char *name);
const char *env_next(const char *entry);

/* ---- time.c ---- */
void time_refresh(void);

/* ---- random.c ---- */
bool random_ready(void);
void random_bytes(void *to, size_t size);
void random_fill(void *to, size_t size); /* never waits: before there is entropy, the same bytes in every image */

/* ---- pages.c: memory in pages, for Linux programs ---- */
struct page_range {
    uint32_t first, count; /* page numbers */
};
void pages_begin(void);
void pages_resize(void);
uint64_t pages_free_bytes(void);
void *pages_take(size_t size);
void pages_give(void *pages, size_t size);
bool pages_own(uint64_t address, uint64_t size, struct page_range *range);
bool pages_are_free(struct page_range range);
void pages_take_range(struct page_range range);
void pages_give_range(struct page_range range);
void pages_clip(uint64_t address, uint64_t size, struct page_range *range);
bool pages_take_half(struct page_range *range);
bool pages_next_run(struct page_range *range);
bool pages_are_taken(struct page_range range);

/* ---- malloc.c ---- */
void *heap_alloc(size_t size);
void *heap_zeroed(size_t count, size_t size);
void *heap_resize(void *block, size_t size);
void heap_free(void *block);

#endif
