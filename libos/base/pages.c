/*
 * Memory in pages: those between the program's end and the end of memory, a bit each. Only Linux programs have it; the
 * heap of others is all of that in one piece (malloc.c).
 *
 * There is no guest paging: a page that is taken is memory that was there before, and is zeroed if it was ever used. The
 * first place that fits is taken, from a base that leaves a quarter of memory to who grows from the low end (brk); when
 * there is none, from below that base too.
 */
#include "base.h"

#define WORD 64
#define PAGES (NK_MEMORY_MAX / NK_PAGE_SIZE)
#define LOW_SHARE 4

static uint64_t taken[PAGES / WORD];
static uint64_t written[PAGES / WORD]; /* was given out before: not zero any more */
static uint32_t first, end, base;      /* page numbers */
static uint64_t free_pages;

static bool bit(const uint64_t *map, uint32_t page) {
    return map[page / WORD] >> page % WORD & 1;
}

static void set(uint64_t *map, uint32_t page, bool value) {
    uint64_t mask = 1ull << page % WORD;
    map[page / WORD] = value ? map[page / WORD] | mask : map[page / WORD] & ~mask;
}

static uint32_t pages_in(uint64_t bytes) {
    return (uint32_t)(ALIGN_UP(bytes, NK_PAGE_SIZE) / NK_PAGE_SIZE);
}

void pages_begin(void) {
    first = pages_in(NK_INFO->heap);
    end = (uint32_t)(NK_INFO->memory_bytes / NK_PAGE_SIZE);
    base = first + (end - first) / LOW_SHARE;
    free_pages = end - first;
}

/* The end of memory is another one since the image was made: programs of one base have different files. */
void pages_resize(void) {
    uint32_t now = (uint32_t)(NK_INFO->memory_bytes / NK_PAGE_SIZE);
    free_pages += now - end;
    end = now;
}

uint64_t pages_free_bytes(void) {
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
void pages_take_range(struct page_range range) {
    free_pages -= range.count;
    for (uint32_t page = range.first; range.count--; page++) {
        if (bit(written, page))
            memset((void *)((uintptr_t)page * NK_PAGE_SIZE), 0, NK_PAGE_SIZE);
        set(written, page, true);
        set(taken, page, true);
    }
}

/* Pages among them that are free already stay so. */
void pages_give_range(struct page_range range) {
    for (uint32_t page = range.first; range.count--; page++) {
        free_pages += bit(taken, page);
        set(taken, page, false);
    }
}

bool pages_are_free(struct page_range range) {
    for (uint32_t page = range.first; range.count; range.count--, page++)
        if (page >= end || bit(taken, page))
            return false;
    return true;
}

/* Zeroed pages for `size` bytes, or NULL. */
void *pages_take(size_t size) {
    if (!size || size > (uint64_t)(end - first) * NK_PAGE_SIZE)
        return NULL;
    uint32_t count = pages_in(size), page = find(base, end, count);
    if (!page)
        page = find(first, base, count);
    if (!page)
        return NULL;
    pages_take_range((struct page_range){page, count});
    return (void *)((uintptr_t)page * NK_PAGE_SIZE);
}

void pages_give(void *pages, size_t size) {
    pages_give_range((struct page_range){(uint32_t)((uintptr_t)pages / NK_PAGE_SIZE), pages_in(size)});
}

/* Whether these bytes, up to a page's end, are whole pages between the program's end and the end of memory: *range. */
bool pages_own(uint64_t address, uint64_t size, struct page_range *range) {
    if (address % NK_PAGE_SIZE || !size || size > NK_MEMORY_MAX || address > NK_MEMORY_MAX)
        return false;
    *range = (struct page_range){(uint32_t)(address / NK_PAGE_SIZE), pages_in(size)};
    return range->first >= first && range->first + range->count <= end;
}

/* Those of these bytes' pages that lie between the program's end and the end of memory: *range, which may be empty. */
void pages_clip(uint64_t address, uint64_t size, struct page_range *range) {
    uint64_t from = address / NK_PAGE_SIZE, to = from + ALIGN_UP(size, NK_PAGE_SIZE) / NK_PAGE_SIZE;
    from = from < first ? first : MIN(from, (uint64_t)end);
    to = to < from ? from : MIN(to, (uint64_t)end);
    *range = (struct page_range){(uint32_t)from, (uint32_t)(to - from)};
}

/* Takes the upper half of the last free run, for who wants to begin there what memory is too small for; false: none. */
bool pages_take_half(struct page_range *range) {
    uint32_t to = end;
    while (to > first && bit(taken, to - 1))
        to--;
    uint32_t from = to;
    while (from > first && !bit(taken, from - 1))
        from--;
    *range = (struct page_range){from + (to - from + 1) / 2, (to - from) / 2};
    pages_take_range(*range);
    return range->count;
}

/* The next run of taken pages from range->first on. */
bool pages_next_run(struct page_range *range) {
    uint32_t page = range->first < first ? first : range->first;
    while (page < end && !bit(taken, page))
        page++;
    range->first = page;
    while (page < end && bit(taken, page))
        page++;
    range->count = page - range->first;
    return range->count;
}

/* Whether all of them are taken. */
bool pages_are_taken(struct page_range range) {
    for (uint32_t page = range.first; range.count; range.count--, page++)
        if (page >= end || !bit(taken, page))
            return false;
    return true;
}
