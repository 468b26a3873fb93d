/* The machine's console: an append-only ring of text. Lines that nobody takes are dropped, never waited for. */
#include "base.h"

void console_put(const char *text, size_t length) {
    char *ring = (char *)NK_CONSOLE_ADDRESS;
    uint32_t head = NK_CONTROL->console_head;
    while (length--) {
        if (head - NK_INFO->console_tail >= NK_CONSOLE_SIZE) {
            NK_CONTROL->console_head = head;
            HYPERCALL(NK_PORT_NOTIFY, NK_NOTIFY_CONSOLE, 0);
            if (head - NK_INFO->console_tail >= NK_CONSOLE_SIZE)
                return;
        }
        ring[head++ % NK_CONSOLE_SIZE] = *text++;
    }
    __asm__ volatile("" ::: "memory"); /* the text before the index that shows it */
    NK_CONTROL->console_head = head;
}

void console_line(const char *line) {
    console_put(line, strlen(line));
    console_put("\n", 1);
}
