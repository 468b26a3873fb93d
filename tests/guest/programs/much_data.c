/* A program that is mostly data, 4 MiB of it, which it only reads. */
#include <nunatak.h>

#define WORDS (1 << 20)

static const unsigned data[WORDS] = {[0 ... WORDS - 1] = 0x5bd1e995};

static void page(nk_request *request) {
    unsigned long sum = 0;
    for (const volatile unsigned *at = data; at < data + WORDS; at++)
        sum += *at;
    nk_printf(request, "%lu\n", sum);
}

int main(void) {
    return nk_serve(page);
}
