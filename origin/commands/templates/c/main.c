/* A page and a small API. main() runs once, while the image is built; page() runs for each request. */
#include <nunatak.h>

static void greet(nk_request *request) {
    char name[64] = "world";
    nk_query(request, "name", name, sizeof name);
    nk_header(request, "Content-Type", "text/html; charset=utf-8");
    nk_printf(request, "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>Hello</title>\n<h1>Hello, ");
    nk_html(request, name);
    nk_printf(request, "!</h1>\n");
}

static void page(nk_request *request) {
    const char *path = nk_var(request, "PATH_INFO");
    if (!strcmp(path, "/")) {
        greet(request);
    } else if (!strcmp(path, "/greetings")) {
        nk_header(request, "Content-Type", "application/json");
        nk_printf(request, "{\"en\":\"Hello\",\"fr\":\"Bonjour\",\"de\":\"Guten Tag\"}\n");
    } else {
        nk_status(request, 404);
        nk_printf(request, "not found\n");
    }
}

int main(void) {
    return nk_serve(page);
}
