/* What SQLite wants of <string.h>. */
#ifndef NK_STRING_H
#define NK_STRING_H

#include <nunatak.h>

char *strrchr(const char *text, int byte);
size_t strspn(const char *text, const char *set);
size_t strcspn(const char *text, const char *set);
void *memchr(const void *bytes, int byte, size_t size);

#endif
