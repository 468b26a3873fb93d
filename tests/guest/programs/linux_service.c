/* A musl program that serves through the call table: printf, malloc and the clock are the C library's. */
#include <nunatak.h>

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static char *prepared;

static void page(nk_request *request) {
    char line[100];
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    int size = snprintf(line, sizeof line, "%s %.2f %s", prepared, 2.5, now.tv_sec > 1000000000 ? "now" : "then");
    nk_write(request, line, (size_t)size);
}

int main(int argc, char **argv) {
    prepared = malloc(3 << 20);
    snprintf(prepared, 100, "%s %d %s", argv[0], argc, getenv("COLOUR"));
    printf("main runs\n");
    fflush(stdout);
    return nk_serve(page);
}
