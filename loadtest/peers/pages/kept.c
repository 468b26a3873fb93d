/* A greeting that edges may keep for a day. */
#include <nunatak.h>

static void page(nk_request *request) {
    nk_header(request, "Cache-Control", "max-age=86400");
    nk_printf(request, "hello from /\n");
}

int main(void) {
    return nk_serve(page);
}
