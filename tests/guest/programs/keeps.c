/* Keeps the answer that it is sent, under the name of its path; answers with what is kept there; DELETE purges its tag. */
#include <nunatak.h>

#define PLACE "nunatak:cache/c/https://kept.test"

/* The word that the edge says first, and the body behind it. */
static void tell(nk_request *request, nk_upstream *upstream) {
    const char *name = NULL, *value = "";
    char text[256];
    ptrdiff_t size;
    int status = nk_upstream_status(upstream);
    if (status < 0) {
        nk_printf(request, "%s", nk_upstream_error(upstream));
    } else {
        nk_upstream_next_field(upstream, &name, &value);
        nk_printf(request, "%d %s ", status, value);
        while ((size = nk_upstream_read(upstream, text, sizeof text)) > 0)
            nk_write(request, text, (size_t)size);
    }
    nk_upstream_close(upstream);
}

static void answer(nk_request *request) {
    const char *method = nk_var(request, "REQUEST_METHOD");
    char url[512], text[256];
    nk_snprintf(url, sizeof url, PLACE "%s", nk_var(request, "PATH_INFO"));
    if (*method == 'G')
        return tell(request, nk_upstream_open("GET", url, NULL, false));
    bool keeps = *method == 'P';
    static const char fields[] = "Nunatak-Status\0" "201\0" "Cache-Control\0" "max-age=60\0" "Cache-Tag\0" "c\0";
    static const char purge[] = "{\"tags\": [\"c\"]}";
    nk_upstream *upstream = nk_upstream_open(keeps ? "PUT" : "POST", keeps ? url : "nunatak:cache", keeps ? fields : NULL, true);
    if (keeps) {
        ptrdiff_t size = nk_read(request, text, sizeof text);
        nk_upstream_write(upstream, text, size > 0 ? (size_t)size : 0, true);
    } else {
        nk_upstream_write(upstream, purge, sizeof purge - 1, true);
    }
    tell(request, upstream);
}

int main(void) {
    return nk_serve(answer);
}
