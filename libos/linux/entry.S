/* The way in from SYSCALL and back, the way from one thread to another, and the way into a program. */
#include "../include/abi.h"

#define RED_ZONE 128                /* bytes below RSP that belong to the interrupted function */

/* SYSCALL goes on here: RAX number, RDI RSI RDX R10 R8 R9 arguments, RCX return address, R11 flags, the caller's stack.
 * Everything but RAX, RCX and R11 is kept; SSE state too, since nothing in the libOS uses it. */
    .text
    .global linux_entry
    .type linux_entry, @function
linux_entry:
    lea -RED_ZONE(%rsp), %rsp
    push %r10                       /* struct frame, from its end */
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
    cld
    mov %rsp, %rdi
    mov %rsp, %rbx
    and $-16, %rsp
    call linux_call
    mov %rbx, %rsp
linux_resume:
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
    .size linux_entry, . - linux_entry

/* void linux_switch(void **save, void *load): as fiber_switch, with all of x87 and SSE, which a system call keeps. */
    .global linux_switch
    .type linux_switch, @function
linux_switch:
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
    .size linux_switch, . - linux_switch

/* Where a new thread begins: its frame's address is on the stack. */
    .global linux_child
linux_child:
    pop %rsp
    jmp linux_resume

/* void linux_resume_at(struct frame *frame): returns to the program from anywhere. */
    .global linux_resume_at
linux_resume_at:
    mov %rdi, %rsp
    jmp linux_resume

/* void linux_enter(uintptr_t entry, uintptr_t stack): the registers of a fresh process (System V AMD64 ABI, 3.4.1). */
    .global linux_enter
    .type linux_enter, @function
linux_enter:
    mov %rsi, %rsp
    mov %rdi, %rcx
    xor %eax, %eax
    xor %ebx, %ebx
    xor %edx, %edx
    xor %esi, %esi
    xor %edi, %edi
    xor %ebp, %ebp
    jmp *%rcx
    .size linux_enter, . - linux_enter

/* void linux_fx_save(void *area), void linux_fx_load(const void *area): 512 bytes, aligned to 16. */
    .global linux_fx_save
linux_fx_save:
    fxsave64 (%rdi)
    ret
    .global linux_fx_load
linux_fx_load:
    fxrstor64 (%rdi)
    ret

    .section .note.GNU-stack, "", @progbits
