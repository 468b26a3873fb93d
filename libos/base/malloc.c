/*
 * The heap: blocks in size classes, four to every power of two, so less than a fifth of a block is waste. A freed block
 * waits in the list of its class; new ones are cut from the untouched rest of memory. Blocks are not merged: a service
 * that has seen its mix of sizes stops growing, and finding a block stays a few instructions.
 *
 * Memory past `top` was never written, so it is still zero: calloc need not touch it.
 */
#include "base.h"

#define CLASSES 100 /* up to 1 GiB */
#define IN_USE 0x4B4E5553
#define FREED 0x4B4E4652

/* In front of every block; 16 bytes keep blocks aligned to 16. */
struct header {
    uint32_t mark, class;
    struct header *next; /* while freed */
};

#define EXTENT 0x40000 /* bytes; what a Linux program's heap grows by, which shares memory with brk and mmap */

static struct header *lists[CLASSES];
static uintptr_t top, end;

/* Bytes of a block of a class, header included: 16 32 48 64, 80 96 112 128, 160 192 224 256, 320 ... */
static size_t class_size(unsigned class) {
    return class < 4 ? 16 * (class + 1) : (size_t)(5 + class % 4) << (class / 4 + 3);
}

static unsigned class_of(size_t size) {
    if (size <= 64)
        return (unsigned)(size - 1) / 16;
    unsigned power = 63 - (unsigned)__builtin_clzll(size - 1); /* 2^power < size <= 2^(power + 1) */
    return (power - 5) * 4 + ((unsigned)((size - 1) >> (power - 2)) & 3);
}

static struct header *header_of(void *block) {
    struct header *header = (struct header *)block - 1;
    if (header->mark != IN_USE)
        panic("heap: freed twice, or never allocated");
    return header;
}

static void give(struct header *header, unsigned class) {
    *header = (struct header){FREED, class, lists[class]};
    lists[class] = header;
}

/* The first freed block of class `from`, cut down to `class`; what is left goes to the lists of smaller blocks. */
static void *take(unsigned from, unsigned class) {
    struct header *header = lists[from];
    lists[from] = header->next;
    header->mark = IN_USE;
    header->class = class;
    uintptr_t at = (uintptr_t)header + class_size(class), end = (uintptr_t)header + class_size(from);
    while (end - at >= sizeof(struct header)) {
        unsigned rest = class_of(end - at);
        rest -= class_size(rest) > end - at;
        give((struct header *)at, rest);
        at += class_size(rest);
    }
    return header + 1;
}

/* Makes the heap go on in pages of their own, if there are any. */
static void extend(size_t size) {
    size_t extent = size > EXTENT ? ALIGN_UP(size, NK_PAGE_SIZE) : EXTENT;
    void *pages = pages_take(extent);
    if (!pages && extent > size)
        pages = pages_take(extent = ALIGN_UP(size, NK_PAGE_SIZE));
    if (pages) {
        top = (uintptr_t)pages;
        end = top + extent;
    }
}

/* A block, or NULL; `*zero` says whether it was never written. */
static void *allocate(size_t size, bool *zero) {
    if (!top && NK_INFO->program_kind == NK_PROGRAM_NATIVE) {
        top = ALIGN_UP(NK_INFO->heap, 16);
        end = NK_INFO->memory_bytes;
    }
    if (size >= NK_INFO->memory_bytes)
        return NULL;
    unsigned class = class_of(size + sizeof(struct header));
    if (!lists[class] && class_size(class) > end - top && NK_INFO->program_kind != NK_PROGRAM_NATIVE)
        extend(class_size(class));
    *zero = !lists[class] && class_size(class) <= end - top;
    if (*zero) {
        struct header *header = (struct header *)top;
        top += class_size(class);
        header->mark = IN_USE;
        header->class = class;
        return header + 1;
    }
    unsigned from = class;
    while (from < CLASSES && !lists[from])
        from++;
    return from < CLASSES ? take(from, class) : NULL;
}

void *heap_alloc(size_t size) {
    bool zero;
    return allocate(size, &zero);
}

void *heap_zeroed(size_t count, size_t size) {
    size_t bytes;
    bool zero;
    if (__builtin_mul_overflow(count, size, &bytes))
        return NULL;
    void *block = allocate(bytes, &zero);
    return block && !zero ? memset(block, 0, bytes) : block;
}

void heap_free(void *block) {
    if (!block)
        return;
    struct header *header = header_of(block);
    give(header, header->class);
}

void *heap_resize(void *block, size_t size) {
    if (!block)
        return heap_alloc(size);
    size_t old = class_size(header_of(block)->class) - sizeof(struct header);
    if (size <= old)
        return block;
    void *larger = heap_alloc(size);
    if (larger) {
        memcpy(larger, block, old);
        heap_free(block);
    }
    return larger;
}
