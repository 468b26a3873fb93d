/* Addresses that the program gave. Program and libOS share one address space, so this protects the program from its
 * own mistakes, with EFAULT where Linux would say so; what it can do to itself anyway, it can do here too. */
#include "memory.h"

static bool within(uint64_t address, uint64_t size, uint64_t start, uint64_t end) {
    return address >= start && address <= end && size <= end - address;
}

/* The page below the first thread's stack is not there. */
static bool has_guard(uint64_t address, uint64_t size) {
    uint64_t guard = stack_low() - NK_PAGE_SIZE;
    return address < guard + NK_PAGE_SIZE && address + size > guard;
}

/* All of it in the environment, fibers' memory, the boot stack, the program, or the read-only files. */
bool can_read(uint64_t address, uint64_t size) {
    uint64_t end = NK_INFO->memory_bytes;
    if (NK_INFO->files)
        end += archive_size();
    if (within(address, size, NK_STACK_ADDRESS, end))
        return !has_guard(address, size);
    return within(address, size, NK_FIBER_ADDRESS, NK_LIBOS_ADDRESS) ||
           within(address, size, NK_ENV_ADDRESS, NK_ENV_ADDRESS + NK_ENV_SIZE) ||
           within(address, size, (uint64_t)(uintptr_t)libos_constants, (uint64_t)(uintptr_t)libos_constants_end);
}

/* All of it in fibers' stacks, the boot stack, or the program. */
bool can_write(uint64_t address, uint64_t size) {
    uint64_t end = NK_INFO->memory_bytes;
    if (within(address, size, NK_STACK_ADDRESS, end))
        return !has_guard(address, size);
    return within(address, size, NK_FIBER_ADDRESS, NK_LIBOS_ADDRESS);
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
