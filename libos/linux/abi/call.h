/* A system call as the files here see it: six arguments, and the registers of who called. For C and for assembler. */
#ifndef LINUX_CALL_H
#define LINUX_CALL_H

#include "../../include/abi.h"

#define RED_ZONE NK_IRQ_RED_ZONE /* bytes below RSP that belong to the interrupted function */

#ifdef __ASSEMBLER__

/* Pushes struct frame from its end; everything but RAX, RCX and R11 is kept over a system call. */
    .macro frame_push
    lea -RED_ZONE(%rsp), %rsp
    push %r10
    push %r9
    push %r8
    push %rdi
    push %rsi
    push %rdx
    push %rax
    push %rcx
    push %r11
    push %rbx
    push %rbp
    push %r12
    push %r13
    push %r14
    push %r15
    .endm

/* Goes back to the program from the frame at RSP. */
    .macro frame_return
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %rbp
    pop %rbx
    pop %r11
    push %r11
    popfq
    pop %rcx
    pop %rax
    pop %rdx
    pop %rsi
    pop %rdi
    pop %r8
    pop %r9
    pop %r10
    lea RED_ZONE(%rsp), %rsp
    jmp *%rcx
    .endm

#else

#include <stdint.h>

/* The caller's registers, in its own stack below the red zone. */
struct frame {
    uint64_t r15, r14, r13, r12, rbp, rbx, rflags, rip, rax, rdx, rsi, rdi, r8, r9, r10;
};
#define FRAME_RSP(frame) ((uintptr_t)(frame) + sizeof(struct frame) + RED_ZONE)

typedef int64_t linux_function(const uint64_t *arguments, struct frame *frame);

#define FILES_MAX 1024
#define PROCESS_ID 2

#endif
#endif
