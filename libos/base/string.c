/*
 * memcpy and its family. Eight bytes at a time with plain moves: under an emulator `rep movsb` costs a loop turn per
 * byte and an SSE move twice the work of an integer one. Loads may pass the end of a string, never of its aligned word.
 */
#include "base.h"

#undef memcpy
#undef memmove
#undef memset
#undef strlen
#ifndef __clang__
#pragma GCC optimize("no-tree-loop-distribute-patterns") /* or memcpy's loop becomes a call of memcpy */
#endif

typedef uint64_t __attribute__((may_alias)) word;
typedef uint64_t __attribute__((may_alias, aligned(1))) loose_word;
typedef uint32_t __attribute__((may_alias, aligned(1))) loose_half;

#define EVERY_BYTE(value) (0x0101010101010101 * (uint64_t)(value))

void *memcpy(void *restrict to, const void *restrict from, size_t size) {
    char *t = to;
    const char *f = from;
    if (size >= 8) {
        uint64_t last = *(const loose_word *)(f + size - 8);
        char *end = t + size - 8;
        for (; end - t >= 32; t += 32, f += 32) {
            ((loose_word *)t)[0] = ((const loose_word *)f)[0];
            ((loose_word *)t)[1] = ((const loose_word *)f)[1];
            ((loose_word *)t)[2] = ((const loose_word *)f)[2];
            ((loose_word *)t)[3] = ((const loose_word *)f)[3];
        }
        for (; t < end; t += 8, f += 8)
            *(loose_word *)t = *(const loose_word *)f;
        *(loose_word *)end = last;
    } else if (size >= 4) {
        uint32_t last = *(const loose_half *)(f + size - 4);
        *(loose_half *)t = *(const loose_half *)f;
        *(loose_half *)(t + size - 4) = last;
    } else {
        while (size--)
            *t++ = *f++;
    }
    return to;
}

void *memmove(void *to, const void *from, size_t size) {
    char *t = to;
    const char *f = from;
    if ((uintptr_t)t - (uintptr_t)f >= size) { /* forwards is safe; byte by byte only where words would overlap */
        if ((uintptr_t)f - (uintptr_t)t >= 8)
            for (; size >= 8; size -= 8, t += 8, f += 8)
                *(loose_word *)t = *(const loose_word *)f;
        while (size--)
            *t++ = *f++;
    } else {
        if ((uintptr_t)t - (uintptr_t)f >= 8)
            for (; size >= 8; size -= 8)
                *(loose_word *)(t + size - 8) = *(const loose_word *)(f + size - 8);
        while (size--)
            t[size] = f[size];
    }
    return to;
}

void *memset(void *to, int byte, size_t size) {
    char *t = to;
    uint64_t pattern = EVERY_BYTE((unsigned char)byte);
    if (size >= 8) {
        char *end = t + size - 8;
        for (; t < end; t += 8)
            *(loose_word *)t = pattern;
        *(loose_word *)end = pattern;
    } else {
        while (size--)
            *t++ = (char)byte;
    }
    return to;
}

int memcmp(const void *a, const void *b, size_t size) {
    const unsigned char *x = a, *y = b;
    for (; size >= 8 && *(const loose_word *)x == *(const loose_word *)y; size -= 8)
        x += 8, y += 8;
    for (; size; size--, x++, y++)
        if (*x != *y)
            return *x - *y;
    return 0;
}

/* A flag in the top bit of bytes below `limit` (1 to 128). The lowest flag is exact, ones above it may be too many. */
static inline uint64_t bytes_below(uint64_t value, uint64_t limit) {
    return (value - EVERY_BYTE(limit)) & ~value & EVERY_BYTE(0x80);
}

/* Bytes before the first one that is below `limit` or equal to `stop`. */
static inline size_t span(const char *text, uint64_t limit, char stop) {
    const word *at = (const word *)((uintptr_t)text & ~(uintptr_t)7);
    uint64_t keep = ~(uint64_t)0 << ((uintptr_t)text & 7) * 8; /* bytes before the text are no hit */
    for (;; at++, keep = ~(uint64_t)0) {
        uint64_t hits = bytes_below(*at, limit) & keep;
        if (stop)
            hits |= bytes_below(*at ^ EVERY_BYTE((unsigned char)stop), 1) & keep;
        if (hits)
            return (size_t)((const char *)at - text) + (size_t)__builtin_ctzll(hits) / 8;
    }
}

size_t strlen(const char *text) {
    return span(text, 1, 0);
}

/* Bytes before the first control character; the NUL at the end is one. */
size_t printable_span(const char *text) {
    return span(text, 0x20, 0);
}

/* Bytes before the first `stop`, or before the end. */
size_t span_until(const char *text, char stop) {
    return span(text, 1, stop);
}

int strcmp(const char *a, const char *b) {
    while (*a && *a == *b)
        a++, b++;
    return (unsigned char)*a - (unsigned char)*b;
}

int strncmp(const char *a, const char *b, size_t size) {
    while (size && *a && *a == *b)
        a++, b++, size--;
    return size ? (unsigned char)*a - (unsigned char)*b : 0;
}

char *strchr(const char *text, int byte) {
    text += span(text, 1, (char)byte);
    return *text == (char)byte ? (char *)text : NULL;
}
