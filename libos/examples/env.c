/* The settings the image was built with: GET / lists them, GET /NAME answers one. */
#include <nunatak.h>

static void page(nk_request *request) {
    const char *name = nk_var(request, "PATH_INFO");
    nk_header(request, "Content-Type", "text/plain; charset=utf-8");
    if (name && *name == '/')
        name++;
    if (!name || !*name) {
        for (const char *entry = NULL; (entry = nk_next_env(entry));)
            nk_printf(request, "%s\n", entry);
        return;
    }
    const char *value = nk_env(name);
    nk_status(request, value ? 200 : 404);
    nk_printf(request, value ? "%s\n" : "no such setting\n", value);
}

int main(void) {
    return nk_serve(page);
}
