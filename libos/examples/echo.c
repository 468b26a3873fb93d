/*
 * Sends a request back: the body as it comes, piece by piece, so it may be larger than the machine; method, path, query
 * and header fields as X-Echo-* fields.
 */
#include <nunatak.h>

/* HTTP_USER_AGENT as X-Echo-User-Agent. */
static void echo_field(nk_request *request, const char *variable, const char *value) {
    char name[80] = "X-Echo-";
    size_t at = 7;
    bool capital = true;
    for (variable += 5; *variable && at < sizeof name - 1; variable++) {
        char c = *variable == '_' ? '-' : *variable;
        name[at++] = c >= 'A' && c <= 'Z' && !capital ? c + ('a' - 'A') : c;
        capital = c == '-';
    }
    name[at] = 0;
    nk_header(request, name, value);
}

static void page(nk_request *request) {
    const char *type = nk_var(request, "CONTENT_TYPE"), *query = nk_var(request, "QUERY_STRING");
    nk_header(request, "Content-Type", type ? type : "application/octet-stream");
    nk_header(request, "X-Echo-Method", nk_var(request, "REQUEST_METHOD"));
    nk_header(request, "X-Echo-Path", nk_var(request, "PATH_INFO"));
    nk_header(request, "X-Echo-Query", query ? query : "");
    for (const char *name = NULL, *value; nk_next_var(request, &name, &value);)
        if (!strncmp(name, "HTTP_", 5))
            echo_field(request, name, value);

    char piece[8192];
    ptrdiff_t size;
    while ((size = nk_read(request, piece, sizeof piece)) > 0)
        if (nk_write(request, piece, (size_t)size))
            return;
}

int main(void) {
    return nk_serve(page);
}
