/*
 * One of many small shops: `nunatak world` gives each a NAME. Its shelves are filled while the image is built. GET / is
 * the list as a page, GET /?max=CENTS what costs no more; a POST is an order, of which size and checksum are confirmed.
 */
#include <nunatak.h>

enum { ITEMS = 24 };

static const char *name;
static struct { unsigned number, cents; } shelf[ITEMS];
static unsigned long visits;

/* FNV-1a */
static uint32_t mix(uint32_t sum, const void *data, size_t size) {
    for (const unsigned char *byte = data; size--; byte++)
        sum = (sum ^ *byte) * 16777619u;
    return sum;
}

static void order(nk_request *request) {
    char piece[4096];
    size_t total = 0;
    uint32_t sum = 2166136261u;
    for (ptrdiff_t size; (size = nk_read(request, piece, sizeof piece)) > 0; total += (size_t)size)
        sum = mix(sum, piece, (size_t)size);
    nk_header(request, "Content-Type", "application/json");
    nk_printf(request, "{\"shop\":\"%s\",\"bytes\":%zu,\"sum\":%u}\n", name, total, sum);
}

static void list(nk_request *request) {
    char text[16];
    unsigned long max = 0;
    if (nk_query(request, "max", text, sizeof text) > 0)
        for (const char *digit = text; *digit >= '0' && *digit <= '9'; digit++)
            max = max * 10 + (unsigned long)(*digit - '0');
    nk_header(request, "Content-Type", "text/html; charset=utf-8");
    nk_printf(request, "<!doctype html><title>%s</title><h1>%s</h1><p>visit %lu</p><ul>\n", name, name, ++visits);
    for (int i = 0; i < ITEMS; i++)
        if (!max || shelf[i].cents <= max)
            nk_printf(request, "<li>item %u: %u.%02u\n", shelf[i].number, shelf[i].cents / 100, shelf[i].cents % 100);
    nk_printf(request, "</ul>\n");
}

static void page(nk_request *request) {
    nk_header(request, "X-World", name);
    if (strcmp(nk_var(request, "REQUEST_METHOD"), "POST"))
        list(request);
    else
        order(request);
}

int main(void) {
    name = nk_env("NAME") ? nk_env("NAME") : "a shop";
    uint32_t sum = mix(2166136261u, name, strlen(name));
    for (int i = 0; i < ITEMS; i++) {
        sum = mix(sum, &i, sizeof i);
        shelf[i].number = sum % 10000;
        shelf[i].cents = 99 + sum / 10000 % 9900;
    }
    return nk_serve(page);
}
