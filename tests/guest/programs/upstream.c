/* Passes a request on to the URL in its query: GET, or POST with the body it has. */
#include <nunatak.h>

static void page(nk_request *request) {
    char url[1000], buffer[4096];
    ptrdiff_t size;
    bool post = !strcmp(nk_var(request, "REQUEST_METHOD"), "POST");
    if (nk_query(request, "url", url, sizeof url) < 0) {
        nk_status(request, 400);
        return;
    }
    nk_upstream *upstream = nk_upstream_open(post ? "POST" : "GET", url, "X-From\0guest\0", post);
    if (!upstream) {
        nk_status(request, 503);
        return;
    }
    if (post) {
        while ((size = nk_read(request, buffer, sizeof buffer)) > 0)
            nk_upstream_write(upstream, buffer, (size_t)size, false);
        nk_upstream_write(upstream, "", 0, true);
    }
    int status = nk_upstream_status(upstream);
    nk_status(request, status < 0 ? 502 : status);
    const char *name = NULL, *value;
    while (nk_upstream_next_field(upstream, &name, &value))
        if (!strcmp(name, "X-Answer") || !strcmp(name, "Cache-Control") || !strcmp(name, "Via"))
            nk_header(request, name, value);
    while ((size = nk_upstream_read(upstream, buffer, sizeof buffer)) > 0)
        nk_write(request, buffer, (size_t)size);
    if (nk_upstream_error(upstream))
        nk_printf(request, "%s", nk_upstream_error(upstream));
    nk_upstream_close(upstream);
}

int main(void) {
    if (nk_upstream_open("GET", "http://early.test", NULL, false))
        return 1; /* there is no network while an image is built */
    return nk_serve(page);
}
