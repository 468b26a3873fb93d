/* mmap: memory of its own for who asks, with nothing in it or a copy of a file's bytes. Reading a read-only file needs no
 * copy: the mapping is the file; and so is a shared one of a file in memory. */
#include "fs.h"

#define MAP_NORESERVE 0x4000

/* Where a program wants it, if it can be there; NULL: anywhere. */
static int64_t wanted_place(uint64_t address, uint64_t size, uint64_t flags, uint8_t **place) {
    struct page_range range;
    bool fixed = flags & (MAP_FIXED | MAP_FIXED_NOREPLACE);
    *place = NULL;
    if (fixed && address % NK_PAGE_SIZE)
        return -EINVAL;
    if (!address && !fixed)
        return 0;
    bool ours = pages_own(address & ~(uint64_t)(NK_PAGE_SIZE - 1), size, &range);
    if (!fixed && (!ours || !pages_are_free(range)))
        return 0;
    if (!ours)
        return -ENOMEM;
    if (!(flags & MAP_FIXED) && !pages_are_free(range))
        return -EEXIST;
    if (flags & MAP_FIXED && memory_is_kept(address))
        return -ENOMEM;
    pages_give_range(range);
    pages_take_range(range);
    *place = (uint8_t *)((uintptr_t)range.first * NK_PAGE_SIZE);
    return 0;
}

static int64_t check_file(const struct file *file, uint64_t protection, uint64_t flags, uint64_t offset) {
    if (!file || file->flags & O_PATH)
        return -EBADF;
    if (offset % NK_PAGE_SIZE)
        return -EINVAL;
    unsigned access = file->flags & O_ACCMODE;
    if (access == O_WRONLY || (flags & MAP_SHARED && protection & PROT_WRITE && access != O_RDWR))
        return -EACCES;
    return (file->kind->mode == S_IFREG || file->kind == &kind_zero) && file->kind->read ? 0 : -ENODEV;
}

static int64_t copy_of_file(struct file *file, uint8_t *place, uint64_t size, uint64_t offset) {
    int64_t got = file->kind->read(file, place, size, (int64_t)offset);
    if (got >= 0)
        return (int64_t)(uintptr_t)place;
    pages_give(place, size);
    return got;
}

int64_t sys_mmap(const uint64_t *a, struct frame *frame) {
    (void)frame;
    uint64_t size = a[1], protection = a[2], flags = a[3], kind = flags & 3;
    struct file *file = flags & MAP_ANONYMOUS ? NULL : file_of((uint32_t)a[4]);
    if (!size || !kind || a[5] % NK_PAGE_SIZE)
        return -EINVAL;
    if (!(flags & MAP_ANONYMOUS)) {
        int64_t error = check_file(file, protection, kind == 3 ? MAP_SHARED : flags, a[5]);
        if (error)
            return error;
    }
    if (protection & PROT_EXEC)
        return -EPERM;
    bool fixed = flags & (MAP_FIXED | MAP_FIXED_NOREPLACE), shared = flags & MAP_SHARED;
    if (file && shared && file->kind == &kind_tmp && !fixed) {
        char *mapped = size > NK_MEMORY_MAX || a[5] > NK_MEMORY_MAX ? NULL : tmp_map(file->node, size, a[5]);
        if (mapped)
            memory_mapped((uint64_t)(uintptr_t)mapped, 1);
        return mapped ? (int64_t)(uintptr_t)mapped : -ENOMEM;
    }
    int64_t in_place = !file || fixed || protection & PROT_WRITE ? 0 : file_map(file, size, a[5]);
    if (in_place)
        return in_place;
    uint8_t *place;
    int64_t error = wanted_place(a[0], size, flags, &place);
    if (error)
        return error;
    if (!place)
        place = pages_take(size);
    if (!place && !file && (!protection || flags & MAP_NORESERVE))
        place = memory_reserve(size);
    if (!place)
        return -ENOMEM;
    return file ? copy_of_file(file, place, size, a[5]) : (int64_t)(uintptr_t)place;
}
