/* The way in from SYSCALL and back. */
#include "abi/call.h"

/* SYSCALL goes on here: RAX number, RDI RSI RDX R10 R8 R9 arguments, RCX return address, R11 flags, the caller's stack.
 * SSE state is kept, too, since nothing in the libOS uses it. */
    .text
    .global linux_entry
    .type linux_entry, @function
linux_entry:
    frame_push
    cld
    mov %rsp, %rdi
    mov %rsp, %rbx
    and $-16, %rsp
    call linux_call
    mov %rbx, %rsp
    frame_return
    .size linux_entry, . - linux_entry

    .section .note.GNU-stack, "", @progbits
