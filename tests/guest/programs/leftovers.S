# What ring 3 can reach of a processor beyond what a machine's record holds. An act may be an invalid opcode where the
# processor or KVM does not have it; then it leaves nothing.
    .code64
    .text
    .global main, goes_on
main:
goes_on:
    out %al, $0x10
    jmp goes_on

    .macro act name
    .global \name
\name:
    .endm

    act act_segments
    mov $0x2b, %eax
    mov %eax, %ds
    mov %eax, %gs
    mov $0x23, %eax
    mov %eax, %es
    mov %eax, %fs
    jmp goes_on
    act act_segment_bases
    mov $0x123456789, %rax
    .byte 0xf3, 0x48, 0x0f, 0xae, 0xd0      # wrfsbase %rax
    .byte 0xf3, 0x48, 0x0f, 0xae, 0xd8      # wrgsbase %rax
    jmp goes_on
    act act_x87
    fninit
    fld1
    fldpi
    fldz
    fdivp %st, %st(1)
    fldl word(%rip)
    fldcw word(%rip)
    jmp goes_on
    act act_sse
    mov $0x4141414142424242, %rax
    .irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
    movq %rax, %xmm\n
    punpcklqdq %xmm\n, %xmm\n
    .endr
    ldmxcsr mxcsr(%rip)
    jmp goes_on
    act act_avx
    .byte 0xc5, 0xfd, 0x76, 0xc0            # vpcmpeqd %ymm0, %ymm0, %ymm0
    .byte 0xc4, 0x41, 0x05, 0x76, 0xff      # vpcmpeqd %ymm15, %ymm15, %ymm15
    jmp goes_on
    act act_avx512
    .byte 0x62, 0xf3, 0x7d, 0x48, 0x25, 0xc0, 0xff  # vpternlogd $0xff, %zmm0, %zmm0, %zmm0
    .byte 0x62, 0x03, 0x05, 0x40, 0x25, 0xff, 0xff  # vpternlogd $0xff, %zmm31, %zmm31, %zmm31
    .byte 0xc5, 0xf4, 0x46, 0xc9            # kxnorw %k1, %k1, %k1
    jmp goes_on
    act act_protection_keys
    xor %ecx, %ecx
    xor %edx, %edx
    mov $0x55555554, %eax
    .byte 0x0f, 0x01, 0xef                  # wrpkru
    jmp goes_on
    act act_fault_while_stopped
    mov 8, %rax
    jmp goes_on
    act act_flags
    pushq $0x243fd7
    popfq
    jmp goes_on
    act act_general
    .irp r, rax, rbx, rcx, rdx, rsi, rdi, rbp, r8, r9, r10, r11, r12, r13, r14, r15
    mov $0x4141414142424242, %\r
    .endr
    jmp goes_on

# How a machine starts: all of it written into `found`. What is not there faults before it writes.
    .macro look name
    .global \name
\name:
    .endm
    look look_basic
    pushfq
    .irp r, rax, rbx, rcx, rdx, rsi, rdi, rbp, r8, r9, r10, r11, r12, r13, r14, r15
    push %\r
    .endr
    fxsave64 found(%rip)
    fnstenv found+512(%rip)
    mov %ds, found+544(%rip)
    mov %es, found+546(%rip)
    mov %fs, found+548(%rip)
    mov %gs, found+550(%rip)
    mov %ss, found+552(%rip)
    jmp goes_on
    look look_segment_bases
    .byte 0xf3, 0x48, 0x0f, 0xae, 0xc0      # rdfsbase %rax
    .byte 0xf3, 0x48, 0x0f, 0xae, 0xcb      # rdgsbase %rbx
    mov %rax, found(%rip)
    mov %rbx, found+8(%rip)
    jmp goes_on
    look look_avx
    lea found(%rip), %rdi
    .byte 0xc5, 0xfe, 0x7f, 0x07            # vmovdqu %ymm0, (%rdi)
    .byte 0xc5, 0x7e, 0x7f, 0x7f, 0x20      # vmovdqu %ymm15, 32(%rdi)
    jmp goes_on
    look look_avx512
    lea found(%rip), %rdi
    .byte 0x62, 0xf1, 0xfe, 0x48, 0x7f, 0x07        # vmovdqu64 %zmm0, (%rdi)
    .byte 0x62, 0x61, 0xfe, 0x48, 0x7f, 0x7f, 0x01  # vmovdqu64 %zmm31, 64(%rdi)
    .byte 0xc5, 0xf8, 0x91, 0x8f, 0x80, 0, 0, 0     # kmovw %k1, 128(%rdi)
    jmp goes_on
    look look_protection_keys
    xor %ecx, %ecx
    .byte 0x0f, 0x01, 0xee                  # rdpkru
    mov %eax, found(%rip)
    jmp goes_on

    .data
    .global word
word:
    .quad 0x037e
mxcsr:
    .quad 0x9fff
    .balign 64
    .global found
found:
    .skip 1024
    .skip 1024
    .global stack_top
stack_top:
    .skip 64
