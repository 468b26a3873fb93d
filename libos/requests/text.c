/* Text a web page is made of: parameters from the query string, and strings into HTML and JSON. */
#include "requests.h"

static int hex(char digit) {
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    digit |= 0x20;
    return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

/* One decoded byte of a form value (URL Standard section 5.1) and how many bytes of text it took. */
static int decode(const char *at, char *byte) {
    *byte = *at == '+' ? ' ' : *at;
    if (*at != '%' || hex(at[1]) < 0 || hex(at[2]) < 0)
        return 1;
    *byte = (char)(hex(at[1]) << 4 | hex(at[2]));
    return 3;
}

ptrdiff_t text_query(nk_request *request, const char *name, char *to, size_t size) {
    const char *at = request_var(request, "QUERY_STRING");
    size_t name_size = strlen(name), length = 0;
    for (;; at++) {
        if (!at || !*at)
            return -1;
        if (!strncmp(at, name, name_size) && (!at[name_size] || strchr("=&", at[name_size])))
            break;
        at += span_until(at, '&');
        if (!*at)
            return -1;
    }
    at += name_size;
    if (*at == '=')
        at++;
    while (*at && *at != '&' && length + 1 < size) {
        char byte;
        at += decode(at, &byte);
        to[length++] = byte ? byte : ' '; /* a NUL would end the text early */
    }
    if (size)
        to[length] = 0;
    return (ptrdiff_t)length;
}

int text_html(nk_request *request, const char *text) {
    for (;;) {
        const char *plain = text, *entity;
        while (*text && *text != '<' && *text != '>' && *text != '&' && *text != '"' && *text != '\'')
            text++;
        if (response_write(request, plain, (size_t)(text - plain)))
            return -1;
        switch (*text++) {
        case '<': entity = "&lt;"; break;
        case '>': entity = "&gt;"; break;
        case '&': entity = "&amp;"; break;
        case '"': entity = "&quot;"; break;
        case '\'': entity = "&#39;"; break;
        default: return 0;
        }
        if (response_write(request, entity, strlen(entity)))
            return -1;
    }
}

int text_json(nk_request *request, const char *text) {
    if (response_write(request, "\"", 1))
        return -1;
    for (;;) {
        const char *plain = text;
        while ((unsigned char)*text >= 0x20 && *text != '"' && *text != '\\')
            text++;
        if (response_write(request, plain, (size_t)(text - plain)))
            return -1;
        if (!*text)
            return response_write(request, "\"", 1);
        char escaped[8];
        int size = *text == '"' || *text == '\\' ? format_buffer(escaped, sizeof escaped, "\\%c", *text)
                                                 : format_buffer(escaped, sizeof escaped, "\\u%04x", *text);
        if (response_write(request, escaped, (size_t)size))
            return -1;
        text++;
    }
}
