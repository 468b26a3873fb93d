/* Answers by hand, past the libOS, and goes on working: what must not become the state of the next request's machine.
   With ?spoil=1 it says of a ring meanwhile what cannot be, and waits for somebody to look. */
#include <nunatak.h>

#include "abi.h"
#include "layout.h"

static unsigned long requests;

static void answer(uint32_t stream, const char *text, uint32_t size) {
    uint32_t head = NK_CONTROL->out_head;
    volatile uint32_t *record = (volatile uint32_t *)(uintptr_t)(NK_GATE_OUT_ADDRESS + head % NK_GATE_SIZE);
    record[0] = size;
    record[1] = NK_RECORD_HEAD | NK_FLAG_END << 16;
    record[2] = stream;
    record[3] = 0;
    for (uint32_t i = 0; i < size; i++)
        ((volatile char *)(record + 4))[i] = text[i];
    __asm__ volatile("" ::: "memory");
    NK_CONTROL->out_head = head + 16 + (size + 7 & ~7u);
}

static void page(nk_request *request) {
    char digits[8] = "0", text[64] = "Status\000200\0\0";
    uint32_t stream = 0;
    nk_query(request, "stream", digits, sizeof digits);
    for (const char *at = digits; *at >= '0' && *at <= '9'; at++)
        stream = stream * 10 + (uint32_t)(*at - '0');
    int size = nk_snprintf(text + 12, sizeof text - 12, "request %lu\n", ++requests);
    answer(stream, text, 12 + (uint32_t)size);
    if (nk_query(request, "spoil", digits, sizeof digits) > 0) {
        nk_refresh_clock();
        NK_CONTROL->in_tail = 4;
        for (volatile unsigned long turns = 0;; turns++)
            ;
    }
    nk_refresh_clock();
    for (uint64_t until = nk_virtual_ns() + 60000000; nk_virtual_ns() < until;)
        nk_refresh_clock();
}

int main(void) {
    return nk_serve(page);
}
