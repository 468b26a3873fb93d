/* An image that is larger than a small edge: 12 MiB that do not compress, filled before it is ready. */
#include <nunatak.h>

#define WORDS ((12ul << 20) / sizeof(uint64_t))

static uint64_t words[WORDS];

static void page(nk_request *request) {
    nk_printf(request, "%d\n", (int)(words[WORDS - 1] & 1));
}

int main(void) {
    uint64_t x = 88172645463325252ul;
    for (size_t n = 0; n < WORDS; n++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        words[n] = x;
    }
    return nk_serve(page);
}
