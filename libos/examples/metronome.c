/* A little work every 10 ms, for a while: /idle waits for each beat in IDLE, /spin asks for the time until it is there.

   ?beats=N says how many; the answer says how many were late by more than a period, and for how many it waited. */
#include <nunatak.h>

#define PERIOD_NS 10000000ul
#define TURNS 2000

static void work(void) {
    for (volatile int turns = 0; turns < TURNS; turns++)
        ;
}

static void page(nk_request *request) {
    char digits[8] = "100";
    unsigned long beats = 0, late = 0, waited = 0;
    bool spins = !strcmp(nk_var(request, "PATH_INFO"), "/spin");
    nk_query(request, "beats", digits, sizeof digits);
    for (const char *at = digits; *at >= '0' && *at <= '9'; at++)
        beats = beats * 10 + (unsigned long)(*at - '0');
    nk_refresh_clock();
    uint64_t next = nk_mono_ns();
    for (unsigned long beat = 0; beat < beats; beat++) {
        next += PERIOD_NS;
        if (spins)
            while (nk_mono_ns() < next)
                nk_refresh_clock();
        else if (nk_mono_ns() < next) {
            nk_sleep_until(next);
            waited++;
        }
        late += nk_mono_ns() > next + PERIOD_NS;
        work();
        nk_refresh_clock();
    }
    nk_header(request, "Content-Type", "text/plain; charset=utf-8");
    nk_printf(request, "%lu beats, %lu late, %lu waited\n", beats, late, waited);
}

int main(void) {
    return nk_serve(page);
}
