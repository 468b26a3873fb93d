/*
 * Memory that a program asks for without a file. Pages are taken and given back one by one (base/pages.c); permissions
 * are the image's and never change, so memory is writable and not executable, and what mprotect may say is only what is
 * so already.
 */
#include "memory.h"

static uintptr_t brk_start, brk_now;

void memory_begin(void) {
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

int64_t sys_munmap(const uint64_t *a, struct frame *frame) {
    (void)frame;
    struct page_range range;
    if (a[0] % NK_PAGE_SIZE || !a[1] || !can_read(a[0] | NK_INFO_ADDRESS, 0))
        return -EINVAL;
    if (pages_own(a[0], a[1], &range))
        pages_give_range(range);
    return 0;
}

int64_t sys_mremap(const uint64_t *a, struct frame *frame) {
    (void)frame;
    struct page_range have;
    uint64_t size = a[2];
    if (!size || size > NK_MEMORY_MAX || (a[3] & MREMAP_FIXED) || !pages_own(a[0], a[1], &have))
        return -EINVAL;
    uint32_t need = (uint32_t)(ALIGN_UP(size, NK_PAGE_SIZE) / NK_PAGE_SIZE);
    if (need <= have.count) {
        pages_give_range((struct page_range){have.first + need, have.count - need});
        return (int64_t)a[0];
    }
    struct page_range more = {have.first + have.count, need - have.count};
    if (pages_are_free(more)) {
        pages_take_range(more);
        return (int64_t)a[0];
    }
    void *place = a[3] & MREMAP_MAYMOVE ? pages_take(size) : NULL;
    if (!place)
        return -ENOMEM;
    memcpy(place, (void *)a[0], (size_t)have.count * NK_PAGE_SIZE);
    pages_give_range(have);
    return (int64_t)(uintptr_t)place;
}

/* Guard pages and read-only relocations are asked for by every program and granted without effect. */
int64_t sys_mprotect(const uint64_t *a, struct frame *frame) {
    (void)frame;
    if (a[0] % NK_PAGE_SIZE)
        return -EINVAL;
    if (!can_read(a[0], a[1]))
        return -ENOMEM;
    return a[2] & PROT_EXEC ? -EPERM : 0;
}

int64_t sys_madvise(const uint64_t *a, struct frame *frame) {
    (void)frame;
    struct page_range range;
    if (a[0] % NK_PAGE_SIZE)
        return -EINVAL;
    if (a[2] == MADV_DONTNEED && pages_own(a[0], a[1], &range))
        memset((void *)a[0], 0, (size_t)range.count * NK_PAGE_SIZE);
    return 0;
}
