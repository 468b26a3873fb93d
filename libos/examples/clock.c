/* What time it is for a machine: wall clock, physical timeline, the CPU time it was given, and which life this is. */
#include <nunatak.h>

static void page(nk_request *request) {
    unsigned char bytes[16];
    char hex[2 * sizeof bytes + 1];
    nk_random(bytes, sizeof bytes);
    for (size_t i = 0; i < sizeof bytes; i++)
        nk_snprintf(hex + 2 * i, 3, "%02x", bytes[i]);

    nk_header(request, "Content-Type", "application/json");
    nk_header(request, "Cache-Control", "no-store");
    nk_printf(request, "{\"wall_ns\": %lu, \"mono_ns\": %lu, ", nk_wall_ns(), nk_mono_ns());
    nk_printf(request, "\"virtual_ns\": %lu, ", nk_virtual_ns());
    nk_printf(request, "\"generation\": %lu, \"random\": \"%s\"}\n", nk_generation(), hex);
}

int main(void) {
    return nk_serve(page);
}
