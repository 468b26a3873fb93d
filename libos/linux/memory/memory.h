/* What linux/memory/ offers: addresses that a program gave, checked, and memory that it asks for. */
#ifndef LINUX_MEMORY_H
#define LINUX_MEMORY_H

#include "../../base/base.h"
#include "../abi/call.h"
#include "../abi/numbers.h"

/* ---- check.c: the one door ---- */
extern const char libos_constants[], libos_constants_end[]; /* link.ld */
bool can_read(uint64_t address, uint64_t size);
bool can_write(uint64_t address, uint64_t size);
const char *path_argument(uint64_t address); /* NULL: not a string in memory of less than PATH_MAX bytes */

/* ---- memory.c: memory without a file ---- */
void memory_begin(void);
linux_function sys_brk, sys_munmap, sys_mremap, sys_mprotect, sys_madvise;

#endif
