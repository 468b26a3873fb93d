/* The way from one thread to another, into a program, and back to one from a frame. */
#include "../abi/call.h"

    .text
/* void context_switch(void **save, void *load): as fiber_switch, with all of x87 and SSE, which a system call keeps. */
    .global context_switch
    .type context_switch, @function
context_switch:
    push %rbp
    push %rbx
    push %r12
    push %r13
    push %r14
    push %r15
    sub $520, %rsp                  /* 512 bytes, and the stack was 8 off a multiple of 16 */
    fxsave64 (%rsp)
    mov %rsp, (%rdi)
    mov %rsi, %rsp
    fxrstor64 (%rsp)
    add $520, %rsp
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %rbx
    pop %rbp
    ret
    .size context_switch, . - context_switch

/* Where a new thread begins: its frame's address is on the stack. */
    .global context_child
context_child:
    pop %rsp
    frame_return

/* void context_return(struct frame *frame): returns to the program from anywhere. */
    .global context_return
context_return:
    mov %rdi, %rsp
    frame_return

/* void context_enter(uintptr_t entry, uintptr_t stack): the registers of a fresh process (System V AMD64 ABI, 3.4.1). */
    .global context_enter
    .type context_enter, @function
context_enter:
    mov %rsi, %rsp
    mov %rdi, %rcx
    xor %eax, %eax
    xor %ebx, %ebx
    xor %edx, %edx
    xor %esi, %esi
    xor %edi, %edi
    xor %ebp, %ebp
    jmp *%rcx
    .size context_enter, . - context_enter

/* void context_save_fx(void *area), void context_load_fx(const void *area): 512 bytes, aligned to 16. */
    .global context_save_fx
context_save_fx:
    fxsave64 (%rdi)
    ret
    .global context_load_fx
context_load_fx:
    fxrstor64 (%rdi)
    ret

    .section .note.GNU-stack, "", @progbits
