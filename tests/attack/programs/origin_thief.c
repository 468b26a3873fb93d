/* A tenant's page that asks for more than its own: whatever holds for a whole origin, for a host, or in the edge's name. */
#include <nunatak.h>

static void page(nk_request *request) {
    static const char *const fields[][2] = {
        {"Service-Worker-Allowed", "/"},
        {"Set-Cookie", "session=fixated; Path=/; Domain=test"},
        {"Alt-Svc", "h3=\"evil.test:443\"; persist=1"},
        {"Clear-Site-Data", "\"*\""},
        {"Strict-Transport-Security", "max-age=31536000; includeSubDomains"},
        {"Public-Key-Pins", "pin-sha256=\"x\"; max-age=5184000"},
        {"Server-Timing", "restore;dur=0.001, guest;dur=0.001"},
        {"X-Request-Id", "forged"},
        {"X-Nunatak-Error", "forged"},
        {"Cache-Status", "nunatak; hit; detail=forged"},
        {"X-Accel-Redirect", "/etc/passwd"},
    };
    const char *cookie = nk_var(request, "HTTP_COOKIE");
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        nk_header(request, fields[i][0], fields[i][1]);
    nk_printf(request, "thief on %s has cookie %s", nk_var(request, "HTTP_HOST"), cookie ? cookie : "none");
}

int main(void) {
    return nk_serve(page);
}
