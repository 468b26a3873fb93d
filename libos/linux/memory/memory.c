/*
 * Memory that a program asks for without a file. Pages are taken and given back one by one (base/pages.c); permissions
 * are the image's and never change, so memory is writable and not executable, and what mprotect may say is only what is
 * so already.
 */
#include "memory.h"

static uintptr_t brk_start, brk_now;

void memory_begin(void) {
    stack_begin();
    pages_begin();
    brk_start = brk_now = NK_INFO->heap;
}

int64_t sys_brk(const uint64_t *a, struct frame *frame) {
    (void)frame;
    uintptr_t want = a[0];
    if (want < brk_start || want > NK_INFO->memory_bytes)
        return (int64_t)brk_now;
    uint32_t have = (uint32_t)(ALIGN_UP(brk_now, NK_PAGE_SIZE) / NK_PAGE_SIZE);
    uint32_t need = (uint32_t)(ALIGN_UP(want, NK_PAGE_SIZE) / NK_PAGE_SIZE);
    if (need > have) {
        struct page_range more = {have, need - have};
        if (!pages_are_free(more))
            return (int64_t)brk_now;
        pages_take_range(more);
    } else {
        pages_give_range((struct page_range){need, have - need});
    }
    if (want < brk_now) /* what is left of the last page must be zero when brk comes back */
        memset((void *)want, 0, MIN(brk_now, (uintptr_t)need * NK_PAGE_SIZE) - want);
    brk_now = want;
    return (int64_t)brk_now;
}

uint64_t memory_brk(void) {
    return brk_now;
}

#define RESERVED_MAX 64

/* Address space that is larger than memory: what lies in these pages can be used, the rest is not there. */
static struct reserved {
    struct page_range pages;
    uint64_t size;
} reserved[RESERVED_MAX];

static struct reserved *reserved_at(uint64_t address) {
    for (struct reserved *at = reserved; at < reserved + RESERVED_MAX; at++) {
        uint64_t start = (uint64_t)at->pages.first * NK_PAGE_SIZE;
        if (at->size && address >= start && address - start < at->size)
            return at;
    }
    return NULL;
}

/* For who will use little of it; NULL: not even that can be had. */
void *memory_reserve(uint64_t size) {
    struct reserved *free = reserved;
    while (free < reserved + RESERVED_MAX && free->size)
        free++;
    if (size >= 1ull << 46 || free == reserved + RESERVED_MAX || !pages_take_half(&free->pages))
        return NULL;
    free->size = size;
    return (void *)((uintptr_t)free->pages.first * NK_PAGE_SIZE);
}

/* The pages of a range; of one that begins in a reservation, what belongs to that. */
static struct page_range pages_of(uint64_t address, uint64_t size) {
    struct page_range range;
    const struct reserved *at = reserved_at(address);
    pages_clip(address, size, &range);
    if (at && range.first + range.count > at->pages.first + at->pages.count)
        range.count = at->pages.first + at->pages.count - MIN(range.first, at->pages.first + at->pages.count);
    return range;
}

/* Whether a range is of addresses at all, and begins a page. */
static bool is_range(uint64_t address, uint64_t size) {
    uint64_t end;
    return address % NK_PAGE_SIZE == 0 && !__builtin_add_overflow(address, size, &end) && end < 1ull << 47;
}

int64_t sys_munmap(const uint64_t *a, struct frame *frame) {
    (void)frame;
    if (!a[1] || !is_range(a[0], a[1]))
        return -EINVAL;
    if (memory_mapped(a[0], -1))
        return 0; /* a file's: it goes with the file */
    struct page_range range = pages_of(a[0], a[1]);
    struct reserved *whole = reserved_at(a[0]);
    if (whole && range.first == whole->pages.first && a[1] >= whole->size)
        whole->size = 0;
    for (struct page_range one = {range.first, 1}; one.first < range.first + range.count; one.first++)
        if (!memory_is_kept((uint64_t)one.first * NK_PAGE_SIZE))
            pages_give_range(one);
    return 0;
}

/* The stack cannot grow, and nothing is below it: C libraries find its low end by that. */
static int64_t remap_stack(uint64_t address) {
    return address >= stack_low() ? -ENOMEM : -EFAULT;
}

static int64_t move(const uint64_t *a, struct page_range have, uint32_t need) {
    void *place;
    if (a[3] & MREMAP_FIXED) {
        struct page_range to;
        bool apart = a[4] + a[2] <= a[0] || a[0] + a[1] <= a[4];
        if (a[4] % NK_PAGE_SIZE || !apart)
            return -EINVAL;
        if (!pages_own(a[4], a[2], &to))
            return -ENOMEM;
        pages_give_range(to);
        pages_take_range(to);
        place = (void *)a[4];
    } else {
        place = a[3] & MREMAP_MAYMOVE ? pages_take(a[2]) : NULL;
    }
    if (!place)
        return -ENOMEM;
    memcpy(place, (void *)a[0], (size_t)MIN(have.count, need) * NK_PAGE_SIZE);
    pages_give_range(have);
    return (int64_t)(uintptr_t)place;
}

int64_t sys_mremap(const uint64_t *a, struct frame *frame) {
    (void)frame;
    struct page_range have;
    uint64_t size = a[2], flags = a[3];
    if (flags & ~(uint64_t)(MREMAP_MAYMOVE | MREMAP_FIXED) || (flags & MREMAP_FIXED && !(flags & MREMAP_MAYMOVE)) ||
        a[0] % NK_PAGE_SIZE || !size)
        return -EINVAL;
    if (a[0] >= stack_low() - NK_PAGE_SIZE && a[0] < stack_top())
        return remap_stack(a[0]);
    if (!a[1])
        return -EINVAL;
    if (!pages_own(a[0], a[1], &have) || !pages_are_taken(have))
        return -EFAULT;
    if (size > NK_MEMORY_MAX || memory_is_kept(a[0]))
        return -ENOMEM;
    uint32_t need = (uint32_t)(ALIGN_UP(size, NK_PAGE_SIZE) / NK_PAGE_SIZE);
    if (flags & MREMAP_FIXED)
        return move(a, have, need);
    if (need <= have.count) {
        pages_give_range((struct page_range){have.first + need, have.count - need});
        return (int64_t)a[0];
    }
    struct page_range more = {have.first + have.count, need - have.count};
    if (pages_are_free(more)) {
        pages_take_range(more);
        return (int64_t)a[0];
    }
    return move(a, have, need);
}

/* Guard pages and read-only relocations are asked for by every program and granted without effect. */
int64_t sys_mprotect(const uint64_t *a, struct frame *frame) {
    (void)frame;
    if (a[0] % NK_PAGE_SIZE)
        return -EINVAL;
    if (!a[1])
        return 0;
    if (!is_range(a[0], a[1]) || (a[2] && !can_read(a[0], a[1])) || (!a[2] && !can_read(a[0], 1) && !reserved_at(a[0])))
        return -ENOMEM;
    return a[2] & PROT_EXEC ? -EPERM : 0;
}

static bool is_advice(uint64_t advice) {
    return advice <= 4 || (advice >= 8 && advice <= 25);
}

int64_t sys_madvise(const uint64_t *a, struct frame *frame) {
    (void)frame;
    if (!is_range(a[0], a[1]) || !is_advice(a[2]))
        return -EINVAL;
    if (a[1] && !can_read(a[0], 1) && !reserved_at(a[0]))
        return -ENOMEM;
    struct page_range range = pages_of(a[0], a[1]);
    if (a[2] != MADV_DONTNEED)
        return 0;
    for (uint64_t page = range.first; range.count--; page++)
        if (pages_are_taken((struct page_range){(uint32_t)page, 1}) && !memory_is_kept(page * NK_PAGE_SIZE))
            memset((void *)(page * NK_PAGE_SIZE), 0, NK_PAGE_SIZE);
    return 0;
}

/* All of memory is resident. */
int64_t sys_mincore(const uint64_t *a, struct frame *frame) {
    (void)frame;
    if (a[0] % NK_PAGE_SIZE)
        return -EINVAL;
    if (!can_read(a[0], a[1]))
        return -ENOMEM;
    uint64_t pages = ALIGN_UP(a[1], NK_PAGE_SIZE) / NK_PAGE_SIZE;
    if (!can_write(a[2], pages))
        return -EFAULT;
    memset((void *)a[2], 1, pages);
    return 0;
}

int64_t sys_msync(const uint64_t *a, struct frame *frame) {
    (void)frame;
    enum { ASYNC = 1, SYNC = 4, ALL = 7 };
    if (a[0] % NK_PAGE_SIZE || a[2] & ~(uint64_t)ALL || (a[2] & (ASYNC | SYNC)) == (ASYNC | SYNC))
        return -EINVAL;
    return can_read(a[0], a[1]) ? 0 : -ENOMEM;
}

/* Nothing is ever swapped out. */
int64_t sys_mlock(const uint64_t *a, struct frame *frame) {
    (void)frame;
    return can_read(a[0], a[1]) ? 0 : -ENOMEM;
}
