/* A service that never gives the processor back on /spin; the edge ends it at its CPU limit and answers 504. */
#include <nunatak.h>

static void page(nk_request *request) {
    if (!strcmp(nk_var(request, "PATH_INFO"), "/spin"))
        for (volatile unsigned long turns = 0;; turns++)
            ;
    nk_header(request, "Content-Type", "text/plain; charset=utf-8");
    nk_printf(request, "calm; try /spin\n");
}

int main(void) {
    return nk_serve(page);
}
