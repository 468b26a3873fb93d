/* What every program carries: its entry point. */
#include <nunatak.h>

int main(void);

__attribute__((weak)) const size_t nk_stack_bytes = 0;

void _start(void) {
    if (NK->magic != NK_TABLE_MAGIC || NK->version < NK_TABLE_VERSION)
        __builtin_trap();
    nk_exit(main());
}

/* The order crt.S counts on. */
#define NK_SLOT(name, number) _Static_assert(offsetof(struct nk_table, name) == 8 + 8 * (number), #name)
NK_SLOT(memcpy, 0);
NK_SLOT(memmove, 1);
NK_SLOT(memset, 2);
NK_SLOT(memcmp, 3);
NK_SLOT(strlen, 4);
NK_SLOT(strcmp, 5);
NK_SLOT(strncmp, 6);
NK_SLOT(strchr, 7);
