/* A bad neighbour, to see what others notice of it: /spin?ms=N takes N ms of processor time, /flood?mib=N sends N MiB,
 * /sleep?ms=N answers N ms later. */
#include <nunatak.h>

#define MIB ((size_t)1 << 20)
#define MS 1000000ul

static char block[16 << 10];

static size_t number(nk_request *request, const char *name) {
    char digits[8] = "1";
    size_t value = 0;
    nk_query(request, name, digits, sizeof digits);
    for (const char *at = digits; *at >= '0' && *at <= '9'; at++)
        value = value * 10 + (size_t)(*at - '0');
    return value;
}

static void spin(size_t ms) {
    unsigned long until;
    nk_refresh_clock();
    until = nk_virtual_ns() + ms * MS;
    while (nk_virtual_ns() < until) {
        for (volatile int turns = 0; turns < 10000; turns++)
            ;
        nk_refresh_clock();
    }
}

static void page(nk_request *request) {
    const char *path = nk_var(request, "PATH_INFO");
    nk_header(request, "Content-Type", "text/plain; charset=utf-8");
    if (!strcmp(path, "/spin")) {
        spin(number(request, "ms"));
        nk_printf(request, "done\n");
    } else if (!strcmp(path, "/sleep")) {
        nk_sleep_until(nk_mono_ns() + number(request, "ms") * MS);
        nk_printf(request, "done\n");
    } else if (!strcmp(path, "/flood")) {
        for (size_t left = number(request, "mib") * MIB; left && !nk_write(request, block, sizeof block);)
            left -= sizeof block;
    } else {
        nk_printf(request, "quiet; try /spin?ms=100, /sleep?ms=100 or /flood?mib=50\n");
    }
}

int main(void) {
    memset(block, 'x', sizeof block);
    return nk_serve(page);
}
