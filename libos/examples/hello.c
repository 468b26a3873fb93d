/* The smallest service: plain text, and a counter that lives as long as the machine does. */
#include <nunatak.h>

static unsigned long requests;

static void page(nk_request *request) {
    nk_header(request, "Content-Type", "text/plain; charset=utf-8");
    nk_printf(request, "hello from %s, request %lu\n", nk_var(request, "PATH_INFO"), ++requests);
}

int main(void) {
    return nk_serve(page);
}
