/* void fiber_switch(void **save, void *load): the one place where stacks change. Registers the caller may lose are not
 * kept (System V AMD64 ABI, section 3.2.1); the floating-point control words are one per machine. */
    .text
    .global fiber_switch
    .type fiber_switch, @function
fiber_switch:
    push %rbp
    push %rbx
    push %r12
    push %r13
    push %r14
    push %r15
    mov %rsp, (%rdi)
    mov %rsi, %rsp
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %rbx
    pop %rbp
    ret
    .size fiber_switch, . - fiber_switch

    .section .note.GNU-stack, "", @progbits
