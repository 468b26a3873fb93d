/*
 * Memory for brk and mmap: the pages between the program's end and the end of memory, a bit each.
 *
 * There is no guest paging: permissions are the image's and never change, so memory is writable and not executable, and
 * what mprotect may say is only what is so already. mmap takes the first place that fits, from a base that leaves brk
 * a quarter of memory to grow into; when there is none, from below that base too.
 */
#include "linux.h"

#define WORD 64
#define PAGES (NK_MEMORY_MAX / NK_PAGE_SIZE)
#define BRK_SHARE 4

static uint64_t taken[PAGES / WORD];
static uint64_t written[PAGES / WORD]; /* was given out before: not zero any more */
static uint32_t first, end, base;      /* page numbers */
static uint64_t free_pages;
static uintptr_t brk_start, brk_now;

static bool bit(const uint64_t *map, uint32_t page) {
    return map[page / WORD] >> page % WORD & 1;
}

static void set(uint64_t *map, uint32_t page, bool value) {
    uint64_t mask = 1ull << page % WORD;
    map[page / WORD] = value ? map[page / WORD] | mask : map[page / WORD] & ~mask;
}

void memory_begin(void) {
    brk_start = brk_now = NK_INFO->heap;
    first = (uint32_t)(ALIGN_UP(NK_INFO->heap, NK_PAGE_SIZE) / NK_PAGE_SIZE);
    end = (uint32_t)(NK_INFO->memory_bytes / NK_PAGE_SIZE);
    base = first + (end - first) / BRK_SHARE;
    free_pages = end - first;
}

/* The end of memory is another one since the image was made: programs of one base have different files. */
void memory_resize(void) {
    uint32_t now = (uint32_t)(NK_INFO->memory_bytes / NK_PAGE_SIZE);
    free_pages += now - end;
    end = now;
}

uint64_t memory_free_bytes(void) {
    return free_pages * NK_PAGE_SIZE;
}

/* The first of `count` free pages in [from, to), or 0. */
static uint32_t find(uint32_t from, uint32_t to, uint32_t count) {
    for (uint32_t page = from, run = 0; page < to; page++) {
        if (page % WORD == 0 && taken[page / WORD] == ~0ull) {
            run = 0;
            page += WORD - 1;
            continue;
        }
        run = bit(taken, page) ? 0 : run + 1;
        if (run == count)
            return page + 1 - count;
    }
    return 0;
}

/* Takes those pages, which are free, and sees that they are zero. */
static void take(uint32_t page, uint32_t count) {
    free_pages -= count;
    for (; count--; page++) {
        if (bit(written, page))
            memset((void *)((uintptr_t)page * NK_PAGE_SIZE), 0, NK_PAGE_SIZE);
        set(written, page, true);
        set(taken, page, true);
    }
}

static void give(uint32_t page, uint32_t count) {
    for (; count--; page++) {
        free_pages += bit(taken, page);
        set(taken, page, false);
    }
}

static bool all_free(uint32_t page, uint32_t count) {
    for (; count; count--, page++)
        if (page >= end || bit(taken, page))
            return false;
    return true;
}

/* Zeroed pages for `size` bytes, or NULL. */
void *memory_pages(size_t size) {
    if (!size || size > (uint64_t)(end - first) * NK_PAGE_SIZE)
        return NULL;
    uint32_t count = (uint32_t)(ALIGN_UP(size, NK_PAGE_SIZE) / NK_PAGE_SIZE);
    uint32_t page = find(base, end, count);
    if (!page)
        page = find(first, base, count);
    if (!page)
        return NULL;
    take(page, count);
    return (void *)((uintptr_t)page * NK_PAGE_SIZE);
}

void memory_give(void *pages, size_t size) {
    give((uint32_t)((uintptr_t)pages / NK_PAGE_SIZE), (uint32_t)(ALIGN_UP(size, NK_PAGE_SIZE) / NK_PAGE_SIZE));
}

/* Whether the range is whole pages of ours; *page and *count. */
static bool own_range(uint64_t address, uint64_t size, uint32_t *page, uint32_t *count) {
    if (address % NK_PAGE_SIZE || !size || size > NK_MEMORY_MAX || address > NK_MEMORY_MAX)
        return false;
    *page = (uint32_t)(address / NK_PAGE_SIZE);
    *count = (uint32_t)(ALIGN_UP(size, NK_PAGE_SIZE) / NK_PAGE_SIZE);
    return *page >= first && *page + *count <= end;
}

int64_t sys_brk(const uint64_t *a, struct frame *frame) {
    (void)frame;
    uintptr_t want = a[0];
    if (want < brk_start || want > (uintptr_t)end * NK_PAGE_SIZE)
        return (int64_t)brk_now;
    uint32_t have = (uint32_t)(ALIGN_UP(brk_now, NK_PAGE_SIZE) / NK_PAGE_SIZE);
    uint32_t need = (uint32_t)(ALIGN_UP(want, NK_PAGE_SIZE) / NK_PAGE_SIZE);
    if (need > have) {
        if (!all_free(have, need - have))
            return (int64_t)brk_now;
        take(have, need - have);
    } else {
        give(need, have - need);
    }
    if (want < brk_now) /* what is left of the last page must be zero when brk comes back */
        memset((void *)want, 0, MIN(brk_now, (uintptr_t)need * NK_PAGE_SIZE) - want);
    brk_now = want;
    return (int64_t)brk_now;
}

/* Private memory; of a file, a copy of its bytes. */
int64_t sys_mmap(const uint64_t *a, struct frame *frame) {
    (void)frame;
    uint64_t address = a[0], size = a[1], protection = a[2], flags = a[3];
    uint32_t page, count;
    if (!size)
        return -EINVAL;
    if (protection & PROT_EXEC)
        return -EPERM;
    struct file *file = NULL;
    if (!(flags & MAP_ANONYMOUS)) {
        file = file_of(a[4]);
        if (!file)
            return -EBADF;
        if (a[5] % NK_PAGE_SIZE)
            return -EINVAL;
        int64_t mapped = (flags & MAP_FIXED) || (protection & PROT_WRITE) ? 0 : file_map(file, size, a[5]);
        if (mapped)
            return mapped;
        if ((flags & MAP_SHARED) && (protection & PROT_WRITE))
            return -EACCES;
    }
    uint8_t *place;
    if (flags & (MAP_FIXED | MAP_FIXED_NOREPLACE)) {
        if (!own_range(address, size, &page, &count))
            return -ENOMEM;
        if (!(flags & MAP_FIXED) && !all_free(page, count))
            return -EEXIST;
        give(page, count);
        take(page, count);
        place = (uint8_t *)address;
    } else {
        place = memory_pages(size);
        if (!place)
            return -ENOMEM;
    }
    if (file) {
        int64_t got = file->kind->read ? file->kind->read(file, place, size, (int64_t)a[5]) : -EACCES;
        if (got < 0) {
            memory_give(place, size);
            return got;
        }
    }
    return (int64_t)(uintptr_t)place;
}

int64_t sys_munmap(const uint64_t *a, struct frame *frame) {
    (void)frame;
    uint32_t page, count;
    if (a[0] % NK_PAGE_SIZE || !a[1] || !can_read(a[0] | NK_INFO_ADDRESS, 0))
        return -EINVAL;
    if (own_range(a[0], a[1], &page, &count))
        give(page, count);
    return 0;
}

int64_t sys_mremap(const uint64_t *a, struct frame *frame) {
    (void)frame;
    uint32_t page, have;
    uint64_t size = a[2];
    if (!size || size > NK_MEMORY_MAX || (a[3] & MREMAP_FIXED) || !own_range(a[0], a[1], &page, &have))
        return -EINVAL;
    uint32_t need = (uint32_t)(ALIGN_UP(size, NK_PAGE_SIZE) / NK_PAGE_SIZE);
    if (need <= have) {
        give(page + need, have - need);
        return (int64_t)a[0];
    }
    if (all_free(page + have, need - have)) {
        take(page + have, need - have);
        return (int64_t)a[0];
    }
    void *place = a[3] & MREMAP_MAYMOVE ? memory_pages(size) : NULL;
    if (!place)
        return -ENOMEM;
    memcpy(place, (void *)a[0], (size_t)have * NK_PAGE_SIZE);
    give(page, have);
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
    uint32_t page, count;
    if (a[0] % NK_PAGE_SIZE)
        return -EINVAL;
    if (a[2] == MADV_DONTNEED && own_range(a[0], a[1], &page, &count))
        memset((void *)a[0], 0, (size_t)count * NK_PAGE_SIZE);
    return 0;
}
