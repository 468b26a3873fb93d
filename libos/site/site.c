/* The program of a service that is a folder of files: all its requests are answered before it hears of them. */
#include <nunatak.h>

int main(void) {
    nk_event_begin();
    for (;;) {
        nk_request *request = nk_event_next();
        if (!request) {
            nk_event_wait(NK_IDLE_FOREVER);
            continue;
        }
        nk_status(request, 404); /* of an image without an index of files */
        nk_event_end(request, true);
    }
}
