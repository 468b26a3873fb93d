/* The way out when something is broken that only we or the VMM can have broken: say why, and end the machine. */
#include "base.h"

_Noreturn void panic(const char *why) {
    console_line("libos: panic");
    console_line(why);
    HYPERCALL(NK_PORT_NOTIFY, NK_NOTIFY_CONSOLE, 0);
    for (;;)
        HYPERCALL(NK_PORT_EXIT, NK_EXIT_PANIC, 0);
}
