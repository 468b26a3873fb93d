# Ways into ring 0 with what a guest can choose there: RSP (from R8) and flags (from R9), set by one `iretq`.
# Every act ends in a fault, or goes on at `goes_on` in ring 3 and says which code segment it has.
    .code64
    .text
    .global main, goes_on
main:
goes_on:
    mov %cs, %esi
    mov %rsp, %rdi
    out %al, $0x10
    jmp goes_on

    .macro act name
    .global \name
\name:
    lea stack_top(%rip), %rsp
    pushq $0x23
    push %r8
    push %r9
    pushq $0x2b
    lea 1f(%rip), %rcx
    push %rcx
    .global \name\()_iretq
\name\()_iretq:
    iretq
1:
    .endm

    act act_syscall
    syscall
    ud2
    act act_syscall_after_mov_ss            # which holds back a debug exception until after the next instruction
    mov $0x23, %eax
    mov %eax, %ss
    syscall
    ud2
    act act_int1
    .byte 0xf1
    ud2
    act act_int_1
    int $1
    ud2
    act act_int1_after_mov_ss
    mov $0x23, %eax
    mov %eax, %ss
    .byte 0xf1
    ud2
    act act_int3
    int3
    ud2
    act act_int_double_fault
    int $8
    ud2
    act act_int_80_after_mov_ss
    mov $0x23, %eax
    mov %eax, %ss
    int $0x80
    ud2
    act act_sysenter
    sysenter
    ud2
    act act_far_call_to_code
    lcall *to_code(%rip)
    ud2
    act act_far_call_to_task
    lcall *to_task(%rip)
    ud2
    act act_far_call_to_table
    lcall *to_table(%rip)
    ud2
    act act_rights                          # LAR and LSL read descriptors of any ring, and change nothing
    mov $0x30, %eax
    lar %ax, %ebx
    lsl %ax, %ecx
    verw %ax
    jmp goes_on
    act act_ud2
    ud2
    act act_read_null
    mov 8, %rax
    ud2
    act act_out_by_call
    out %al, $0x21                          # the port that stubs leave by, from where no stub is
    jmp goes_on
    act act_out_fault
    out %al, $0x20
    jmp goes_on

# Mallory's first machine: it dies, and what the processor pushes ends in C0 FF E1, a `jmp *%rcx`.
    .global plant
plant:
    mov $0xe1ffc0, %rsp
    ud2

# Her second one: were the frame of a debug exception in ring 0 pushed where RSP is, it would make the stub that runs next
# a slide to what was planted, and that would bring ring 0 here.
    .global strike, caught
strike:
    mov $0x4000e000, %rax
    mov %rax, %rbx
    mov %rax, %rdx
    xor %r13d, %r13d
    xor %r14d, %r14d
    lea stack_top(%rip), %rsp
    pushq $0x23
    pushq $0x40008024
    pushq $0x3302                           # TF
    pushq $0x2b
    lea 1f(%rip), %rcx
    push %rcx
    iretq
1:  syscall
    mov %cs, %r13d                          # in ring 0
    mov $0x4000a000, %rdi
    movl $0xf421e6, (%rdi)
    mov $1, %r14d
caught:                                     # where her SYSCALL goes on
    mov %r14, %rdi
    mov %r13, %rsi
    out %al, $0x10
    jmp caught

# A neighbour: a SYSCALL that goes on at `show`, with a word of its own.
    .global call_show, show
call_show:
    syscall
    ud2
show:
    mov word(%rip), %rdi
    mov %cs, %esi
    out %al, $0x10
    jmp show

    .data
    .global word
word:
    .quad 0
to_code:
    .long 0x100000
    .word 0x08
to_task:
    .long 0
    .word 0x30
to_table:
    .long 0
    .word 0x0c                              # the local table, of which there is none
    .balign 16
    .skip 1024
stack_top:
    .skip 64
