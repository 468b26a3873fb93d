/* The few functions of a C library that SQLite calls and <nunatak.h> does not have. */
#include <string.h>

char *strrchr(const char *text, int byte) {
    const char *found = NULL;
    do
        if (*text == (char)byte)
            found = text;
    while (*text++);
    return (char *)(uintptr_t)found;
}

size_t strspn(const char *text, const char *set) {
    size_t length = 0;
    while (text[length] && strchr(set, text[length]))
        length++;
    return length;
}

size_t strcspn(const char *text, const char *set) {
    size_t length = 0;
    while (text[length] && !strchr(set, text[length]))
        length++;
    return length;
}

void *memchr(const void *bytes, int byte, size_t size) {
    for (const unsigned char *at = bytes; size--; at++)
        if (*at == (unsigned char)byte)
            return (void *)(uintptr_t)at;
    return NULL;
}
