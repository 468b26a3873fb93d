/* As many fields as it is asked for, each of as many bytes; the status of what does not fit is 500, with no other field. */
#include <nunatak.h>

static char value[1 << 17];

static size_t asked(nk_request *request, const char *name) {
    char text[16] = "";
    size_t number = 0;
    nk_query(request, name, text, sizeof text);
    for (const char *at = text; *at >= '0' && *at <= '9'; at++)
        number = number * 10 + (size_t)(*at - '0');
    return number;
}

static void page(nk_request *request) {
    size_t size = asked(request, "size"), count = asked(request, "count"), body = asked(request, "body");
    char name[] = "x-a";
    value[size] = 0;
    for (size_t n = 0; n < count; n++) {
        name[2] = (char)('a' + n % 26);
        if (nk_header(request, name, value)) {
            nk_restart(request);
            nk_status(request, 500);
            break;
        }
    }
    value[size] = 'v';
    nk_write(request, value, body);
}

int main(void) {
    memset(value, 'v', sizeof value);
    return nk_serve(page);
}
