/* The part of a body that a request asks for (RFC 9110 section 14.2). Several parts, and what is no range of bytes, are
 * answered with all of it, as edges do from what they keep. */
#include "assets.h"

#define DIGITS_MAX 18 /* fit 64 bits */

static bool number(const char **text, uint64_t *value) {
    const char *start = *text;
    for (*value = 0; **text >= '0' && **text <= '9'; ++*text)
        *value = *text - start < DIGITS_MAX ? *value * 10 + (uint64_t)(**text - '0') : *value;
    return *text > start && *text - start <= DIGITS_MAX;
}

static bool is_end(const char *text) {
    while (*text == ' ' || *text == '\t')
        text++;
    return !*text;
}

static bool names_bytes(const char **text) {
    static const char unit[] = "bytes=";
    for (const char *expected = unit; *expected; expected++, ++*text)
        if (**text != *expected && (**text | 0x20) != *expected)
            return false;
    return true;
}

enum range range_read(const char *text, uint64_t size, struct span_of_bytes *part) {
    uint64_t first, last;
    *part = (struct span_of_bytes){0, size};
    if (!text || !names_bytes(&text))
        return RANGE_ALL;
    if (*text == '-') { /* the last so many */
        text++;
        if (!number(&text, &last) || !is_end(text))
            return RANGE_ALL;
        part->start = last < size ? size - last : 0;
        return last && size ? RANGE_PART : RANGE_OUTSIDE;
    }
    if (!number(&text, &first) || *text++ != '-')
        return RANGE_ALL;
    if (!is_end(text)) {
        if (!number(&text, &last) || !is_end(text) || last < first)
            return RANGE_ALL;
        part->end = MIN(size, last + 1);
    }
    part->start = first;
    return first < size ? RANGE_PART : RANGE_OUTSIDE;
}
