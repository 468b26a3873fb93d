/* heap.c: where the engine's memory comes from.
 *
 * What is freed is joined with what is free beside it, and given back to the machine where it is whole pages. So a machine
 * that has seen many small blocks has room for a large one once they are gone. The C library's malloc() keeps each size
 * that it was ever asked for apart, for ever: it is for what is small, or lasts. */
#ifndef HEAP_H
#define HEAP_H

#include <stddef.h>

void *dlmalloc(size_t size);
void *dlcalloc(size_t count, size_t size);
void *dlrealloc(void *block, size_t size);
void dlfree(void *block);
size_t dlmalloc_usable_size(void *block);

#endif
