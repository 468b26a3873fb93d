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

/* ---- stack.c: where the first thread's stack is ---- */
void stack_begin(void);
uint64_t stack_low(void), stack_top(void);
uint64_t program_base(void); /* what was added to the addresses in its headers */

/* ---- kept.c: pages that are a file's, whoever maps them ---- */
bool memory_keep(uint64_t address, uint64_t size);
bool memory_keep_more(uint64_t address, uint64_t size, uint64_t more); /* behind those; false: they are taken */
void memory_unkeep(uint64_t address, uint64_t size); /* the file is gone: they are given back, at once or by munmap() */
bool memory_mapped(uint64_t address, int change);    /* of a kept page: one more who maps it, or one less; false: not kept */
bool memory_is_kept(uint64_t address);

/* ---- memory.c: memory without a file ---- */
void memory_begin(void);
uint64_t memory_brk(void);
void *memory_reserve(uint64_t size); /* addresses of which what lies in memory can be used; NULL: not even that */
linux_function sys_brk, sys_munmap, sys_mremap, sys_mprotect, sys_madvise, sys_mincore, sys_msync, sys_mlock;

#endif
