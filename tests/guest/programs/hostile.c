/* What a guest may try so that others pay for it; each path is one attempt. With ?stream=N the request, which is that
   stream, is answered first, by hand: what follows is then done without a request. */
#include <nunatak.h>

#include "abi.h"
#include "layout.h"

#define HYPERCALL(port, a, b) __asm__ volatile("out %%al, %0; jmp 1f; 1:" ::"i"(port), "D"(a), "S"(b) : "rax", "memory")

static unsigned long number_of(nk_request *request, const char *name) {
    char digits[24] = "0";
    unsigned long number = 0;
    nk_query(request, name, digits, sizeof digits);
    for (const char *at = digits; *at >= '0' && *at <= '9'; at++)
        number = number * 10 + (unsigned long)(*at - '0');
    return number;
}

static uint32_t record(uint32_t head, uint32_t type, uint32_t stream, const char *payload, uint32_t size) {
    uint32_t left = NK_GATE_SIZE - head % NK_GATE_SIZE, padded = (size + 7) & ~7u;
    volatile uint32_t *at = (volatile uint32_t *)(uintptr_t)(NK_GATE_OUT_ADDRESS + head % NK_GATE_SIZE);
    if (left < padded + 32) {
        at[0] = left - 16;
        at[1] = at[2] = at[3] = 0;
        return record(head + left, type, stream, payload, size);
    }
    at[0] = size;
    at[1] = type;
    at[2] = stream;
    at[3] = 0;
    for (uint32_t i = 0; i < size; i++)
        ((volatile char *)(at + 4))[i] = payload[i];
    return head + 16 + padded;
}

static void send(uint32_t head) {
    __asm__ volatile("" ::: "memory");
    NK_CONTROL->out_head = head;
}

/* Bytes that do not compress, in memory that is kept. */
static void fill(unsigned long kib) {
    uint64_t *words = nk_malloc(kib << 10), x = 88172645463325252ull;
    for (unsigned long n = 0; words && n < (kib << 10) / 8; n++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        words[n] = x;
    }
}

static void flood_exchanges(unsigned long count) {
    static const char block[] = "Method\0GET\0URL\0http://a.test\0";
    for (uint32_t number = 1; number <= count;) {
        uint32_t head = NK_CONTROL->out_head;
        for (int k = 0; k < 500 && number <= count; k++, number++) {
            head = record(head, NK_RECORD_SUBREQUEST | NK_FLAG_END << 16, NK_EXCHANGE_BIT | number, block, sizeof block);
            head = record(head, NK_RECORD_RESET, NK_EXCHANGE_BIT | number, "", 0);
        }
        send(head);
        HYPERCALL(NK_PORT_NOTIFY, 1, 0);
    }
}

static void flood_console(unsigned long count) {
    for (volatile char *at = (volatile char *)NK_CONSOLE_ADDRESS; at < (volatile char *)NK_CONSOLE_ADDRESS + NK_CONSOLE_SIZE; at++)
        *at = '\n';
    for (; count; count--) {
        NK_CONTROL->console_head += NK_CONSOLE_SIZE;
        HYPERCALL(NK_PORT_NOTIFY, 2, 0);
    }
}

static void page(nk_request *request) {
    const char *path = nk_var(request, "PATH_INFO");
    unsigned long stream = number_of(request, "stream"), n = number_of(request, "n");
    if (stream) {
        static const char head[] = "Status\000200\0";
        send(record(NK_CONTROL->out_head, NK_RECORD_HEAD | NK_FLAG_END << 16, (uint32_t)stream, head, sizeof head));
        nk_refresh_clock();
    }
    if (!strcmp(path, "/sleep"))
        nk_sleep_until(n);
    if (!strcmp(path, "/timer")) {
        HYPERCALL(NK_PORT_TIMER, n, 0);
        HYPERCALL(NK_PORT_IDLE, NK_IDLE_FOREVER, 0);
    }
    if (!strcmp(path, "/virtual")) {
        HYPERCALL(NK_PORT_TIMER, n, 1);
        HYPERCALL(NK_PORT_CLOCK, 0, 0);
    }
    if (!strcmp(path, "/fill"))
        fill(n);
    if (!strcmp(path, "/spin"))
        for (;;)
            HYPERCALL(NK_PORT_READY, 0, 0);
    if (!strcmp(path, "/nap")) /* works a little and idles a little, without end */
        for (;;) {
            for (volatile unsigned turns = 0; turns < n; turns++)
                ;
            nk_refresh_clock();
            nk_sleep_until(nk_mono_ns() + 100000);
        }
    if (!strcmp(path, "/rearm"))
        for (;;) {
            nk_refresh_clock();
            HYPERCALL(NK_PORT_TIMER, nk_mono_ns() + 100000, 0);
            HYPERCALL(NK_PORT_IDLE, NK_IDLE_FOREVER, 0);
        }
    if (!strcmp(path, "/notify"))
        for (;;)
            HYPERCALL(NK_PORT_NOTIFY, 7, 0);
    if (!strcmp(path, "/exchanges"))
        flood_exchanges(n);
    if (!strcmp(path, "/lines"))
        flood_console(n);
    if (!stream)
        nk_printf(request, "done\n");
}

int main(void) {
    return nk_serve(page);
}
