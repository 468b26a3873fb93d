/* A guest with an instruction that Unicorn's translator cannot translate, at /kill: lock bts %eax,%eax. */
#include <nunatak.h>

static unsigned served;

static void page(nk_request *request) {
    if (!strcmp(nk_var(request, "PATH_INFO"), "/kill"))
        __asm__ volatile(".byte 0xf0, 0x0f, 0xab, 0xc0");
    nk_printf(request, "request %u\n", ++served);
}

int main(void) { return nk_serve(page); }
