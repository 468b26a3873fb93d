/* Which variant of an asset a client gets, by its Accept-Encoding (RFC 9110 section 12.5.3). */
#include "assets.h"

#define WEIGHT_MAX 1000 /* a weight in thousandths */
#define UNSAID (-1)

static char lower(char c) {
    return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

static bool is_blank(char c) {
    return c == ' ' || c == '\t';
}

static const char *past_blanks(const char *text, const char *end) {
    while (text < end && is_blank(*text))
        text++;
    return text;
}

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

/* Of "0.5", in thousandths; 0 for what is no weight. */
static int weight(const char *text, const char *end) {
    if (text == end || (*text != '0' && *text != '1'))
        return 0;
    int value = *text++ == '1' ? WEIGHT_MAX : 0, unit = WEIGHT_MAX / 10;
    if (text < end && *text == '.')
        for (text++; text < end && is_digit(*text) && unit; unit /= 10)
            value += (*text++ - '0') * unit;
    return past_blanks(text, end) == end && value <= WEIGHT_MAX ? value : 0;
}

/* What stands after a coding's name: nothing, or ";q=" and a weight. */
static int weight_after(const char *text, const char *end) {
    text = past_blanks(text, end);
    if (text == end)
        return WEIGHT_MAX;
    if (*text != ';')
        return 0;
    text = past_blanks(text + 1, end);
    if (end - text < 2 || lower(text[0]) != 'q' || text[1] != '=')
        return 0;
    return weight(text + 2, end);
}

static bool is_name(const char *text, size_t size, const char *name) {
    for (; size && *name && lower(*text) == *name; size--)
        text++, name++;
    return !size && !*name;
}

/* A token is also its older name with "x-" before it (RFC 9110 section 8.4.1). */
static bool is_coding(const char *text, size_t size, const char *name) {
    if (size > 2 && lower(text[0]) == 'x' && text[1] == '-')
        return is_name(text + 2, size - 2, name);
    return is_name(text, size, name);
}

/* What a field says of a coding, by its name or by `*`. */
static int said_of(const char *accept, const char *name) {
    int any = UNSAID;
    while (*accept) {
        const char *end = accept + span_until(accept, ','), *start = past_blanks(accept, end), *stop = start;
        while (stop < end && *stop != ';' && !is_blank(*stop))
            stop++;
        size_t size = (size_t)(stop - start);
        if (is_coding(start, size, name))
            return weight_after(stop, end);
        if (size == 1 && *start == '*' && any == UNSAID)
            any = weight_after(stop, end);
        accept = end + (*end == ',');
    }
    return any;
}

/* The one of the greatest weight, the smallest of several; as it is where nothing is said of it and all others are
 * refused, or everything is. */
const struct asset_variant *coding_chosen(const struct asset *asset, const char *accept) {
    const struct asset_variant *variants = index_variants(asset), *plain = variants, *best = NULL;
    int most = 0;
    for (uint32_t n = 0; n < asset->variants; n++) {
        const char *name = index_text(variants[n].coding);
        if (!*name)
            plain = &variants[n];
        int said = accept && asset->variants > 1 ? said_of(accept, *name ? name : "identity") : UNSAID;
        if (said > most) {
            most = said;
            best = &variants[n];
        }
    }
    return best ? best : plain;
}
