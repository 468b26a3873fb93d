/* Ends its machine with the exit code that the path names. */
#include <nunatak.h>

static void leave(nk_request *request) {
    int code = 0;
    for (const char *digit = nk_var(request, "PATH_INFO") + 1; *digit; digit++)
        code = code * 10 + (*digit - '0');
    nk_exit(code);
}

int main(void) {
    return nk_serve(leave);
}
