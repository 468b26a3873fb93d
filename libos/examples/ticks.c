/* A stream: every 20 ms a line with the wall clock's nanoseconds, flushed at once, ?lines=N of them. */
#include <nunatak.h>

#define PERIOD_NS 20000000ul

static void page(nk_request *request) {
    char digits[8] = "50";
    unsigned long lines = 0;
    nk_query(request, "lines", digits, sizeof digits);
    for (const char *at = digits; *at >= '0' && *at <= '9'; at++)
        lines = lines * 10 + (unsigned long)(*at - '0');
    nk_header(request, "Content-Type", "text/plain; charset=utf-8");
    nk_header(request, "Cache-Control", "no-store");
    uint64_t next = nk_mono_ns();
    for (unsigned long line = 0; line < lines; line++) {
        nk_refresh_clock();
        nk_printf(request, "%lu\n", nk_wall_ns());
        if (nk_flush(request) < 0)
            return; /* the client is gone */
        next += PERIOD_NS;
        nk_sleep_until(next);
    }
}

int main(void) {
    return nk_serve(page);
}
