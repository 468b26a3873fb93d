/* A key made when the program starts, by the call table. */
#include <nunatak.h>

static uint64_t key;

static void make_key(void) { nk_random(&key, sizeof key); }

static void page(nk_request *request) { nk_printf(request, "%016lx\n", key); }

int main(void) {
    make_key();
    return nk_serve(page);
}
