/* What SQLite wants of <stdlib.h>: memory. */
#ifndef NK_STDLIB_H
#define NK_STDLIB_H

#include <nunatak.h>

#define malloc nk_malloc
#define realloc nk_realloc
#define free nk_free

#endif
