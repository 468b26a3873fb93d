/* A guest of the size of a small language runtime's: what it holds does not compress, and differs in every service.

   main() fills IMAGE_KIB, which is what its image weighs; the first request fills REQUEST_KIB more, which is what a
   parked record of it weighs. Settings: NAME makes it differ from others; IMAGE_KIB (8), REQUEST_KIB (12). */
#include <nunatak.h>

/* Volatile: nobody reads them, and they must be written all the same. */
#define KIB_MAX 64
#define WORDS_PER_KIB (1024 / sizeof(unsigned long))

static volatile unsigned long prepared[KIB_MAX * WORDS_PER_KIB] __attribute__((aligned(4096)));
static volatile unsigned long served[KIB_MAX * WORDS_PER_KIB] __attribute__((aligned(4096)));
static unsigned long state = 0x9e3779b97f4a7c15;
static unsigned long requests;
static unsigned long request_kib;

/* xorshift64 (Marsaglia, "Xorshift RNGs", 2003): bytes that no compressor makes smaller. */
static unsigned long next(void) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

static void fill(volatile unsigned long *words, unsigned long kib) {
    for (unsigned long i = 0; i < kib * WORDS_PER_KIB; i++)
        words[i] = next();
}

static unsigned long setting(const char *name, unsigned long otherwise) {
    const char *text = nk_env(name);
    unsigned long value = 0;
    if (!text || !*text)
        return otherwise;
    while (*text >= '0' && *text <= '9' && value <= KIB_MAX)
        value = value * 10 + (unsigned long)(*text++ - '0');
    return value <= KIB_MAX ? value : KIB_MAX;
}

static void page(nk_request *request) {
    if (!requests++)
        fill(served, request_kib);
    nk_header(request, "Content-Type", "text/plain; charset=utf-8");
    nk_printf(request, "%s, request %lu\n", nk_env("NAME"), requests);
}

int main(void) {
    for (const char *name = nk_env("NAME"); name && *name; name++)
        state = (state ^ (unsigned char)*name) * 0x100000001b3; /* FNV-1a, which makes neighbours' names far apart */
    fill(prepared, setting("IMAGE_KIB", 8));
    request_kib = setting("REQUEST_KIB", 12);
    return nk_serve(page);
}
