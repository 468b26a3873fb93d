/* Ways to die, by path; the edge must answer 502, tell the publisher where it was, and let no neighbour notice. */
#include <nunatak.h>

static char data[16] = {(char)0xC3}; /* ret, if this could be executed */

static int recurse(volatile int *deeper) {
    volatile int frame[256];
    frame[0] = *deeper + 1;
    return frame[0] ? recurse(frame) + frame[0] : 0;
}

static void page(nk_request *request) {
    const char *path = nk_var(request, "PATH_INFO");
    if (!strcmp(path, "/null"))
        *(volatile char *)0 = 1;
    if (!strcmp(path, "/exec"))
        ((void (*)(void))(void *)data)();
    if (!strcmp(path, "/ro"))
        *(volatile char *)(void *)page = 1;
    if (!strcmp(path, "/ud2"))
        __asm__ volatile("ud2");
    if (!strcmp(path, "/priv"))
        __asm__ volatile("mov %%cr3, %%rax" ::: "rax");
    if (!strcmp(path, "/stack")) {
        volatile int depth = 0;
        recurse(&depth);
    }
    nk_header(request, "Content-Type", "text/plain; charset=utf-8");
    nk_printf(request, "alive; try /null /exec /ro /ud2 /priv /stack\n");
}

int main(void) {
    return nk_serve(page);
}
