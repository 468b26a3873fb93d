/* Where the VMM enters a base image: ring 3, RSP at the top of the boot stack, everything else zero. */
    .section .text.start, "ax"
    .global _start
_start:
    xor %ebp, %ebp          /* ends the chain of frames */
    and $-16, %rsp
    call boot
    ud2

    .section .note.GNU-stack, "", @progbits
