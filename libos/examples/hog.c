/* A memory eater: /hog takes all there is and gives up (507); /touch?mib=N takes N MiB, writes and gives them back. */
#include <nunatak.h>

#define MIB ((size_t)1 << 20)

static void eat_everything(void) {
    char *block;
    size_t taken = 0;
    while ((block = nk_malloc(MIB / 2))) {
        memset(block, 1, MIB / 2);
        taken += MIB / 2;
    }
    nk_log("out of memory after %zu KiB", taken >> 10);
    nk_exit(NK_EXIT_NO_MEMORY);
}

static void touch(nk_request *request) {
    char digits[8] = "1";
    size_t mib = 0;
    nk_query(request, "mib", digits, sizeof digits);
    for (const char *at = digits; *at >= '0' && *at <= '9'; at++)
        mib = mib * 10 + (size_t)(*at - '0');
    char *block = nk_malloc(mib * MIB);
    if (!block) {
        nk_status(request, 413);
        nk_printf(request, "no %zu MiB here\n", mib);
        return;
    }
    for (size_t offset = 0; offset < mib * MIB; offset += NK_PAGE_SIZE)
        block[offset] = 1;
    nk_free(block);
    nk_printf(request, "touched %zu MiB\n", mib);
}

static void page(nk_request *request) {
    const char *path = nk_var(request, "PATH_INFO");
    nk_header(request, "Content-Type", "text/plain; charset=utf-8");
    if (!strcmp(path, "/hog"))
        eat_everything();
    else if (!strcmp(path, "/touch"))
        touch(request);
    else
        nk_printf(request, "modest; try /hog or /touch?mib=4\n");
}

int main(void) {
    return nk_serve(page);
}
