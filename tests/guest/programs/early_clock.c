/* What a program remembers of the time when it started, as many do. */
#include <nunatak.h>

static uint64_t started;

static void page(nk_request *request) { nk_printf(request, "%lu\n", started / 1000000000); }

int main(void) {
    if (nk_env("CHANCE_FIRST"))
        nk_random(&started, sizeof started);
    if (!nk_env("NEVER"))
        nk_refresh_clock();
    started = nk_wall_ns();
    return nk_serve(page);
}
