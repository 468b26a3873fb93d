/* Doug Lea's malloc as it was published (__init__.py pins it), over mmap(); there is one thread. */
#include <errno.h>

#define USE_DL_PREFIX 1
#define USE_LOCKS 0
#define HAVE_MORECORE 0
#define HAVE_MREMAP 1
#define NO_MALLINFO 1
#define MALLOC_ALIGNMENT ((size_t)16)
#define DEFAULT_TRIM_THRESHOLD ((size_t)256 << 10) /* bytes; what is free at the end beyond that is given back */
#define DEFAULT_GRANULARITY ((size_t)64 << 10)
#define malloc_getpagesize ((size_t)4096)

#include "dlmalloc.c"
