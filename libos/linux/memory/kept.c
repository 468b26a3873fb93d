/* Pages that belong to a file in memory and are mapped by the program: munmap() gives them back only when the file is gone. */
#include "memory.h"

#define SPANS_MAX 256

static struct span {
    uint64_t start, end;
    int maps; /* how often they are mapped */
} spans[SPANS_MAX];

static struct span *find(uint64_t address) {
    for (struct span *span = spans; span < spans + SPANS_MAX; span++)
        if (address >= span->start && address < span->end)
            return span;
    return NULL;
}

bool memory_keep(uint64_t address, uint64_t size) {
    for (struct span *span = spans; span < spans + SPANS_MAX; span++)
        if (!span->end) {
            *span = (struct span){address, address + size, 0};
            return true;
        }
    return false;
}

bool memory_keep_more(uint64_t address, uint64_t size, uint64_t more) {
    struct page_range range;
    struct span *span = find(address);
    if (!span || !pages_own(address + size, more, &range) || !pages_are_free(range))
        return false;
    pages_take_range(range);
    span->end += more;
    return true;
}

void memory_unkeep(uint64_t address, uint64_t size) {
    struct span *span = find(address);
    if (!span)
        return;
    if (!span->maps)
        pages_give((void *)address, size);
    *span = (struct span){};
}

bool memory_mapped(uint64_t address, int change) {
    struct span *span = find(address);
    if (span)
        span->maps += change;
    return span;
}

bool memory_is_kept(uint64_t address) {
    return find(address);
}
