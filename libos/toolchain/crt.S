/* memcpy and its family for programs: jumps through the call table, so that no image carries its own copies. */
#include <abi.h>

    .macro slot name, number
    .section .text.\name, "ax"
    .global \name
    .type \name, @function
\name:
    jmp *NK_LIBOS_ADDRESS + 8 + 8 * \number
    .size \name, . - \name
    .endm

    slot memcpy, 0
    slot memmove, 1
    slot memset, 2
    slot memcmp, 3
    slot strlen, 4
    slot strcmp, 5
    slot strncmp, 6
    slot strchr, 7

    .section .note.GNU-stack, "", @progbits
