/* The few functions of a C library that SQLite calls and <nunatak.h> does not have. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

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

static void swap(char *a, char *b, size_t size) {
    while (size--) {
        char byte = *a;
        *a++ = *b;
        *b++ = byte;
    }
}

/* Lets the element at `root` of a heap sink until no child is greater. */
static void sink(char *heap, size_t root, size_t count, size_t size, int (*compare)(const void *, const void *)) {
    for (size_t child; (child = 2 * root + 1) < count; root = child) {
        if (child + 1 < count && compare(heap + child * size, heap + (child + 1) * size) < 0)
            child++;
        if (compare(heap + root * size, heap + child * size) >= 0)
            return;
        swap(heap + root * size, heap + child * size, size);
    }
}

/* Heapsort: no recursion, no memory, and never more than n log n. */
void qsort(void *elements, size_t count, size_t size, int (*compare)(const void *, const void *)) {
    for (size_t root = count / 2; root--;)
        sink(elements, root, count, size, compare);
    for (size_t left = count; left > 1;) {
        swap(elements, (char *)elements + --left * size, size);
        sink(elements, 0, left, size, compare);
    }
}

/* Days since 1970-01-01 as a date of the proleptic Gregorian calendar: Howard Hinnant's civil_from_days, whose years begin
 * in March and whose eras have 400 of them. */
static void set_date(struct tm *parts, int64_t days) {
    int64_t shifted = days + 719468, era = (shifted >= 0 ? shifted : shifted - 146096) / 146097, day = shifted - era * 146097;
    int64_t year = (day - day / 1460 + day / 36524 - day / 146096) / 365;
    int64_t in_year = day - (365 * year + year / 4 - year / 100), month = (5 * in_year + 2) / 153;
    parts->tm_mday = (int)(in_year - (153 * month + 2) / 5 + 1);
    parts->tm_mon = (int)(month < 10 ? month + 2 : month - 10);
    parts->tm_year = (int)(year + era * 400 + (month >= 10) - 1900);
    int64_t full = parts->tm_year + 1900;
    bool leap = full % 4 == 0 && (full % 100 != 0 || full % 400 == 0);
    parts->tm_yday = (int)(in_year + (month >= 10 ? -306 : 59 + leap));
    parts->tm_wday = (int)(((days + 4) % 7 + 7) % 7);
}

struct tm *localtime_r(const time_t *seconds, struct tm *parts) {
    int64_t in_day = (*seconds % 86400 + 86400) % 86400;
    set_date(parts, (*seconds - in_day) / 86400);
    parts->tm_hour = (int)(in_day / 3600);
    parts->tm_min = (int)(in_day / 60 % 60);
    parts->tm_sec = (int)(in_day % 60);
    parts->tm_isdst = 0;
    return parts;
}
