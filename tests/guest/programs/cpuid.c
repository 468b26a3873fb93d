/*
 * Picks code by CPUID, as libraries do: once before READY, into the image, and again at every request. Both pieces of code
 * give the same answer.
 */
#include "nunatak.h"

static uint64_t upwards(uint64_t last) {
    uint64_t sum = 0;
    for (uint64_t n = 1; n <= last; n++) sum += n * n;
    return sum;
}

static uint64_t downwards(uint64_t last) {
    uint64_t sum = 0;
    for (uint64_t n = last; n > 0; n--) sum += n * n;
    return sum;
}

typedef uint64_t code(uint64_t last);
struct choice { char vendor[13]; code *sum; };
static struct choice baked;

static struct choice choose(void) {
    struct choice made = {0};
    uint32_t a, b, c, d;
    __asm__ volatile("cpuid" : "=a"(a), "=b"(b), "=c"(c), "=d"(d) : "a"(0), "c"(0));
    memcpy(made.vendor, &b, 4);
    memcpy(made.vendor + 4, &d, 4);
    memcpy(made.vendor + 8, &c, 4);
    made.sum = strcmp(made.vendor, "GenuineIntel") == 0 ? upwards : downwards;
    return made;
}

static void page(nk_request *request) {
    struct choice now = choose();
    nk_printf(request, "baked %s %s %llu\n", baked.vendor, baked.sum == upwards ? "upwards" : "downwards",
              (unsigned long long)baked.sum(1000));
    nk_printf(request, "now %s %s %llu\n", now.vendor, now.sum == upwards ? "upwards" : "downwards",
              (unsigned long long)now.sum(1000));
}

int main(void) {
    baked = choose();
    return nk_serve(page);
}
