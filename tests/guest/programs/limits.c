/* Names itself by what it has served, waits, logs, grows: for tests of what a machine may. */
#include <nunatak.h>

static unsigned long served, identity;

static unsigned long number(nk_request *request, const char *name) {
    char digits[16] = "0";
    unsigned long value = 0;
    nk_query(request, name, digits, sizeof digits);
    for (const char *at = digits; *at >= '0' && *at <= '9'; at++)
        value = value * 10 + (unsigned long)(*at - '0');
    return value;
}

static void page(nk_request *request) {
    const char *path = nk_var(request, "PATH_INFO");
    if (!identity)
        nk_random(&identity, sizeof identity);
    served++;
    if (!strcmp(path, "/wait")) {
        nk_refresh_clock();
        nk_sleep_until(nk_mono_ns() + number(request, "ms") * 1000000);
    } else if (!strcmp(path, "/log")) {
        for (unsigned long line = number(request, "lines"); line; line--)
            nk_log("a line of fifty bytes, more or less, number %06lu", line);
    } else if (!strcmp(path, "/grow")) {
        for (unsigned long left = number(request, "pages"); left; left--) {
            char *block = nk_malloc(4096);
            if (block)
                memset(block, (int)left | 1, 4096);
        }
    } else if (!strcmp(path, "/crash")) {
        *(volatile int *)8 = 1;
    } else if (!strcmp(path, "/spin")) {
        for (volatile unsigned long turns = number(request, "turns"); turns; turns--)
            ;
    }
    nk_printf(request, "%lx %lu\n", identity, served);
}

int main(void) {
    return nk_serve(page);
}
