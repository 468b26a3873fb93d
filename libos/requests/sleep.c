/* Sleeping: in main() the whole machine, in a handler only its fiber. */
#include "requests.h"

/* -1: the client went away first. */
int sleep_until(uint64_t mono_ns) {
    if (!current) {
        while (NK_INFO->mono_ns < mono_ns)
            HYPERCALL(NK_PORT_IDLE, mono_ns, 0);
        return 0;
    }
    nk_request *request = fiber_request(current);
    current->wake_ns = mono_ns;
    sleepers++;
    while (!request->aborted && NK_INFO->mono_ns < mono_ns)
        fiber_wait(FIBER_WAITS_TIME);
    sleepers--;
    return request->aborted ? -1 : 0;
}
