/*
 * From the first instruction to the program.
 *
 * The boot list is this file: check that VMM and libOS speak of the same architecture, say READY (a base image is the
 * memory at that moment), and when the VMM resumes us with a program in place, enter it.
 */
#include "boot.h"

_Noreturn void boot(void) {
    if (NK_INFO->magic != NK_INFO_MAGIC_VALUE)
        panic("info page: wrong magic");
    if (NK_INFO->abi != NK_ABI_VERSION)
        panic("info page: another ABI version");
    NK_CONTROL->irq_enable = 0; /* the request loop polls the ring at every turn: nothing needs to interrupt it */
    NK_CONTROL->irq_mask = 0;

    assets_hook();
    while (NK_INFO->entry == 0)
        HYPERCALL(NK_PORT_READY, NK_READY_DONE, 0);
    if (NK_INFO->entry < NK_PROGRAM_ADDRESS || NK_INFO->heap > NK_INFO->memory_bytes)
        panic("info page: no such program");
    if (NK_INFO->program_kind != NK_PROGRAM_NATIVE)
        linux_start();
    ((void (*)(void))NK_INFO->entry)();
    panic("the program returned");
}
