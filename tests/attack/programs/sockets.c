/* A guest with WebSockets that says what it is told to say, to whom it is told: "N KIND SIZE TIMES" to socket N. */
#include <nunatak.h>

static char data[1 << 17];

static uint32_t number_at(const char **at) {
    uint32_t number = 0;
    while (**at == ' ')
        ++*at;
    while (**at >= '0' && **at <= '9')
        number = number * 10 + (uint32_t)(*(*at)++ - '0');
    return number;
}

static void obey(const char *order) {
    uint32_t socket = number_at(&order), kind = number_at(&order), size = number_at(&order), times = number_at(&order);
    while (times--)
        nk_socket_send(socket, (int)kind, data, size, true);
}

static void page(nk_request *request) {
    static char said[1 << 14];
    const char *event = nk_var(request, "NUNATAK_EVENT"), *number = nk_var(request, "NUNATAK_SOCKET");
    ptrdiff_t size = 0, more;
    while ((more = nk_read(request, said + size, sizeof said - 1 - (size_t)size)) > 0)
        size += more;
    said[size] = 0;
    if (event) {
        nk_log("%s %s %s", event, nk_var(request, "NUNATAK_CODE"), said);
        if (event[0] == 't' && event[1] == 'e' && said[0] == '!')
            obey(said + 1);
        else if (event[0] == 't' && event[1] == 'e')
            nk_socket_send(number_at(&number), NK_SOCKET_TEXT, said, (size_t)size, true);
    } else if (number) {
        nk_status(request, 101);
        nk_header(request, "X-Number", number);
    } else {
        nk_printf(request, "alive");
    }
}

int main(void) {
    memset(data, 'x', sizeof data);
    return nk_serve(page);
}
