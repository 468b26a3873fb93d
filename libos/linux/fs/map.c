/* mmap: memory of its own for who asks, with nothing in it or a copy of a file's bytes. Reading a read-only file needs no
 * copy: the mapping is the file. */
#include "fs.h"

int64_t sys_mmap(const uint64_t *a, struct frame *frame) {
    (void)frame;
    uint64_t address = a[0], size = a[1], protection = a[2], flags = a[3];
    struct page_range range;
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
        if (!pages_own(address, size, &range))
            return -ENOMEM;
        if (!(flags & MAP_FIXED) && !pages_are_free(range))
            return -EEXIST;
        pages_give_range(range);
        pages_take_range(range);
        place = (uint8_t *)address;
    } else {
        place = pages_take(size);
        if (!place)
            return -ENOMEM;
    }
    if (file) {
        int64_t got = file->kind->read ? file->kind->read(file, place, size, (int64_t)a[5]) : -EACCES;
        if (got < 0) {
            pages_give(place, size);
            return got;
        }
    }
    return (int64_t)(uintptr_t)place;
}
