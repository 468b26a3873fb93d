/* Says what its client wrote, and dies of it when asked to: for who shows that to an operator. */
#include <nunatak.h>

static void page(nk_request *request) {
    const char *path = nk_var(request, "PATH_INFO");
    nk_log("%s", path);
    if (!strcmp(nk_var(request, "QUERY_STRING"), "die"))
        *(volatile char *)0 = 1;
    nk_header(request, "Content-Type", "text/plain; charset=utf-8");
    nk_printf(request, "%s\n", path);
}

int main(void) {
    return nk_serve(page);
}
