/* What SQLite wants of <stdlib.h>: memory, and an order (libc.c). */
#ifndef NK_STDLIB_H
#define NK_STDLIB_H

#include <nunatak.h>

#define malloc nk_malloc
#define realloc nk_realloc
#define free nk_free

void qsort(void *elements, size_t count, size_t size, int (*compare)(const void *, const void *));

#endif
