/* The stack that a page is loaded on, while the image is built: main()'s own is smaller than 200 nested calls between Lua and
 * C take, which Lua allows. 1 MiB of it costs nothing until it is used. */
    .bss
    .balign 4096
    .skip 1 << 20
lua_stack_top:

/* void on_lua_stack(void (*step)(void)) */
    .text
    .global on_lua_stack
    .type on_lua_stack, @function
on_lua_stack:
    push %rbp
    mov %rsp, %rbp
    lea lua_stack_top(%rip), %rsp
    call *%rdi
    mov %rbp, %rsp
    pop %rbp
    ret
    .size on_lua_stack, . - on_lua_stack

    .section .note.GNU-stack, "", @progbits
