/* An answer in steps: each is written when another request has released it, and the one who waits sleeps. */
#include <nunatak.h>

static int released, written;

static void steps(nk_request *request) {
    nk_status(request, 201);
    for (int step = 0; step < 3; step++) {
        if (nk_printf(request, "step %d\n", step))
            return;
        written++;
        while (released <= step)
            if (nk_sleep_until(nk_mono_ns() + 5000000))
                return;
    }
}

static void echo(nk_request *request) {
    char buffer[1000];
    ptrdiff_t size;
    while ((size = nk_read(request, buffer, sizeof buffer)) > 0)
        if (nk_write(request, buffer, (size_t)size))
            return;
}

static void handle(nk_request *request) {
    const char *path = nk_var(request, "PATH_INFO");
    if (!strcmp(path, "/steps"))
        steps(request);
    else if (!strcmp(path, "/echo"))
        echo(request);
    else if (!strcmp(path, "/go"))
        nk_printf(request, "%d", ++released);
    else
        nk_printf(request, "%d", written);
}

int main(void) {
    return nk_serve(handle);
}
