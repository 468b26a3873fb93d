/* A page that edges may keep: fresh for three seconds, and good enough for a day while this
 * program fails. A request with the field X-Break lets it fail. `nunatak purge SERVICE --tag news` makes it void. */
#include <nunatak.h>

static unsigned long editions;

static void page(nk_request *request) {
    if (nk_var(request, "HTTP_X_BREAK") != NULL)
        __builtin_trap();
    nk_header(request, "Content-Type", "text/plain; charset=utf-8");
    nk_header(request, "Cache-Control", "max-age=3, stale-if-error=86400");
    nk_header(request, "Cache-Tag", "news");
    nk_printf(request, "news, edition %lu\n", ++editions);
}

int main(void) {
    return nk_serve(page);
}
