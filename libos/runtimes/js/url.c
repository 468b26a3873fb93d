/* Where the parts of an http or https URL are, if the URL parser would write it back as it is: then nobody parses it.
 *
 * This knows no more than which texts are so; of all others it says that they are not plain. */
#include <arpa/inet.h>

#include "host.h"

#define HOST_MAX 64 /* of an address in text, with its port */
#define PLAIN_SIZE 7  /* "http://" */
#define SECURE_SIZE 8 /* "https://" */

enum { NAME = 1, PATH = 2, QUERY = 4 }; /* where a sign may stand as it is */
static uint8_t places[256];

static void fill_places(void) {
    for (int sign = '!'; sign <= '~'; sign++) {
        bool name = (sign >= 'a' && sign <= 'z') || (sign >= '0' && sign <= '9') || sign == '.' || sign == '-';
        bool path = !strchr("\"#<>?^`{}\\", sign), query = !strchr("\"#<>'", sign);
        places[sign] = (uint8_t)((name ? NAME : 0) | (path ? PATH : 0) | (query ? QUERY : 0));
    }
}

static bool all_in(int place, const char *text, size_t size) {
    for (size_t n = 0; n < size; n++)
        if (!(places[(uint8_t)text[n]] & place))
            return false;
    return true;
}

/* A name in lower case, without labels that stand for others (xn--), whose last label cannot be a number, as which it
 * would be an IPv4 address. */
static bool plain_name(const char *name, size_t size) {
    size_t last = size;
    for (size_t n = 0; n + 4 <= size; n++)
        if (!memcmp(name + n, "xn--", 4))
            return false;
    while (last && name[last - 1] != '.')
        last--;
    return last < size && name[last] >= 'a' && name[last] <= 'z' && all_in(NAME, name, size);
}

/* Eight groups as the URL Standard writes them: the first of the longest runs of zeros, of two at least, is left out. */
static void write_groups(const uint8_t address[16], char text[INET6_ADDRSTRLEN]) {
    unsigned groups[8], best = 8, longest = 1;
    for (unsigned n = 0; n < 8; n++)
        groups[n] = (unsigned)address[2 * n] << 8 | address[2 * n + 1];
    for (unsigned from = 0, to; from < 8; from = to + 1) {
        for (to = from; to < 8 && !groups[to];)
            to++;
        if (to - from > longest)
            best = from, longest = to - from;
    }
    for (unsigned n = 0; n < 8; n++) {
        if (n == best) {
            text += sprintf(text, n ? ":" : "::");
            n += longest - 1;
        } else
            text += sprintf(text, n < 7 ? "%x:" : "%x", groups[n]);
    }
}

static bool plain_address(const char *name, size_t size) {
    char text[HOST_MAX], again[INET6_ADDRSTRLEN];
    uint8_t address[16];
    if (size < 3 || size >= sizeof text)
        return false;
    memcpy(text, name, size);
    text[size] = 0;
    if (*text != '[')
        return inet_pton(AF_INET, text, address) == 1; /* which takes four decimal numbers without leading zeros only */
    text[size - 1] = 0;
    if (name[size - 1] != ']' || inet_pton(AF_INET6, text + 1, address) != 1)
        return false;
    write_groups(address, again);
    return !strcmp(again, text + 1);
}

/* After the colon: a decimal number, and not the one that is left out. */
static bool plain_port(const char *port, size_t size, unsigned left_out) {
    unsigned value = 0;
    for (size_t n = 0; n < size; n++) {
        if (port[n] < '0' || port[n] > '9')
            return false;
        value = value * 10 + (unsigned)(port[n] - '0');
    }
    return size && size <= 5 && (size == 1 || *port != '0') && value < 65536 && value != left_out;
}

/* The size of the host's name without its port; 0: not plain. */
static size_t name_size(const char *host, size_t size, unsigned left_out) {
    size_t name = size;
    while (name && host[name - 1] >= '0' && host[name - 1] <= '9')
        name--;
    bool port = name && host[name - 1] == ':';
    name = port ? name - 1 : size;
    if (port && !plain_port(host + name + 1, size - name - 1, left_out))
        return 0;
    return plain_name(host, name) || plain_address(host, name) ? name : 0;
}

/* The path begins with a slash, and no segment of it is one dot or two, encoded or not. */
static bool plain_path(const char *path, size_t size) {
    for (size_t n = 0; n + 1 < size; n++) {
        const char *next = path + n + 1;
        if (path[n] == '/' && (*next == '.' || (size - n > 3 && *next == '%' && next[1] == '2' && (next[2] | 32) == 'e')))
            return false;
    }
    return all_in(PATH, path, size);
}

/* `url` is "http://" or "https://", a host of `host_size` and a target that begins with "/". False: it is not plain. */
bool url_parts(const char *url, size_t size, size_t scheme_size, size_t host_size, struct url_parts *parts) {
    const char *host = url + scheme_size, *path = host + host_size, *end = url + size;
    const char *mark = memchr(path, '?', (size_t)(end - path));
    size_t name = name_size(host, host_size, scheme_size == SECURE_SIZE ? 443 : 80);
    const char *path_end = mark ? mark : end;
    if (!name || !plain_path(path, (size_t)(path_end - path)) || (mark && !all_in(QUERY, mark + 1, (size_t)(end - mark - 1))))
        return false;
    *parts = (struct url_parts){
        .name_end = (int)(scheme_size + name), .host_end = (int)(path - url), .path_end = (int)(path_end - url)};
    return true;
}

/* plainUrl(text) -> [size of its scheme, text, 0, ends of the host's name, of the host and of the path], or undefined */
static JSValue plain_url(JSContext *ctx, JSValueConst self, int count, JSValueConst *arguments) {
    (void)self, (void)count;
    size_t size = 0;
    const char *text = JS_ToCStringLen(ctx, &size, arguments[0]);
    if (!text)
        return JS_EXCEPTION;
    size_t scheme = !strncmp(text, "http://", PLAIN_SIZE) ? PLAIN_SIZE : !strncmp(text, "https://", SECURE_SIZE) ? SECURE_SIZE : 0;
    const char *path = scheme ? memchr(text + scheme, '/', size - scheme) : NULL;
    struct url_parts parts;
    bool plain = path && url_parts(text, size, scheme, (size_t)(path - text) - scheme, &parts);
    JS_FreeCString(ctx, text);
    if (!plain)
        return JS_UNDEFINED;
    JSValue values[] = {
        JS_NewInt32(ctx, (int)scheme),   JS_DupValue(ctx, arguments[0]),    JS_NewInt32(ctx, 0),
        JS_NewInt32(ctx, parts.name_end), JS_NewInt32(ctx, parts.host_end), JS_NewInt32(ctx, parts.path_end)};
    return JS_NewArrayFrom(ctx, sizeof values / sizeof *values, values);
}

void url_begin(JSContext *ctx, JSValue nk) {
    fill_places();
    JS_SetPropertyStr(ctx, nk, "plainUrl", JS_NewCFunction(ctx, plain_url, "plainUrl", 1));
}
