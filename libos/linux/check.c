/* Addresses that the program gave. Program and libOS share one address space, so this protects the program from its
 * own mistakes, with EFAULT where Linux would say so; what it can do to itself anyway, it can do here too. */
#include "linux.h"

/* All of it in memory, past the unmapped start. */
bool can_read(uint64_t address, uint64_t size) {
    uint64_t end = NK_INFO->files ? NK_MEMORY_MAX : NK_INFO->memory_bytes;
    return address >= NK_INFO_ADDRESS && address <= end && size <= end - address;
}

/* All of it in fibers' stacks, the boot stack, or the program. */
bool can_write(uint64_t address, uint64_t size) {
    uint64_t end = NK_INFO->memory_bytes;
    if (address < NK_FIBER_ADDRESS || address > end || size > end - address)
        return false;
    return address >= NK_STACK_ADDRESS || address + size <= NK_LIBOS_ADDRESS;
}

const char *path_argument(uint64_t address) {
    if (!can_read(address, 1))
        return NULL;
    const char *path = (const char *)address;
    for (unsigned length = 0; length < PATH_MAX; length++)
        if (!can_read(address + length, 1))
            return NULL;
        else if (!path[length])
            return path;
    return NULL;
}
