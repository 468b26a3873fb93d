/* The stack that Lua runs on. A fiber's has 34 KiB, and 200 nested calls between Lua and C, which Lua allows, take more.
 * One is enough, since nothing waits while it runs; 1 MiB of it costs nothing until it is used. */
    .bss
    .balign 4096
    .skip 1 << 20
lua_stack_top:

/* void on_lua_stack(void (*step)(struct job *), struct job *job) */
    .text
    .global on_lua_stack
    .type on_lua_stack, @function
on_lua_stack:
    push %rbp
    mov %rsp, %rbp
    lea lua_stack_top(%rip), %rsp
    mov %rdi, %rax
    mov %rsi, %rdi
    call *%rax
    mov %rbp, %rsp
    pop %rbp
    ret
    .size on_lua_stack, . - on_lua_stack

/* The module `web`, in Lua. */
    .section .rodata
    .global web_lua, web_lua_end
web_lua:
    .incbin "web.lua"
web_lua_end:

    .section .note.GNU-stack, "", @progbits
