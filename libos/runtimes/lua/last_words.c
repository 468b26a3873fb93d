/* Where a page was when its machine ends: out of CPU time, or out of memory.
 *
 * Out of time the edge interrupts the guest and gives it a moment more (IRQ_TIME in abi.h). The interrupt sets a hook, as a
 * signal handler may, and Lua calls that before its next instruction. Of a coroutine that the handler runs, the hook
 * waits for its end. Out of memory nothing can be made any more: the places are kept as numbers when the allocator fails,
 * while the calls are still on their stack. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host.h"

#define PLACES 16

void on_time_up(void); /* saves what C may change, calls `time_is_up`, returns as the architecture says (abi.h) */
__asm__("on_time_up:\n"
        "  push %rax; push %rcx; push %rdx; push %rsi; push %rdi; push %r8; push %r9; push %r10; push %r11; push %rbp\n"
        "  mov %rsp, %rbp; sub $512, %rsp; and $-16, %rsp; fxsave (%rsp); cld; call time_is_up; fxrstor (%rsp)\n"
        "  mov %rbp, %rsp\n"
        "  pop %rbp; pop %r11; pop %r10; pop %r9; pop %r8; pop %rdi; pop %rsi; pop %rdx; pop %rcx; pop %rax\n"
        "  popf; ret $128\n");

static struct {
    char file[64];
    int line;
} places[PLACES];
static int place_count;

void log_request(nk_request *request) {
    const char *id = nk_var(request, "HTTP_X_REQUEST_ID");
    nk_log("    for %s %.300s (%s)", nk_var(request, "REQUEST_METHOD"), nk_var(request, "PATH_INFO"), id ? id : "-");
}

static void say_where(lua_State *L, lua_Debug *activation) {
    (void)activation;
    lua_sethook(L, NULL, 0, 0);
    if (!(NK_INFO->pending & NK_IRQ_TIME)) { /* it was done in time after all */
        NK_CONTROL->irq_enable = 1;
        return;
    }
    luaL_traceback(L, L, "out of time: the CPU time of a request is used up", 0);
    log_error(L);
    if (running_job)
        log_request(running_job->request);
    nk_exit(NK_EXIT_NO_TIME);
}

__attribute__((used)) void time_is_up(void) {
    lua_sethook(running_job ? running_job->thread : lua_main, say_where, LUA_MASKCALL | LUA_MASKRET | LUA_MASKCOUNT, 1);
}

static void keep_places(void) {
    lua_State *L = running_job ? running_job->thread : lua_main;
    lua_Debug activation;
    place_count = 0;
    for (int level = 0; L && place_count < PLACES && lua_getstack(L, level, &activation); level++) {
        lua_getinfo(L, "Sl", &activation);
        if (activation.currentline < 0) /* a function in C */
            continue;
        snprintf(places[place_count].file, sizeof places[place_count].file, "%s", activation.short_src);
        places[place_count++].line = activation.currentline;
    }
}

static void *allocate(void *opaque, void *block, size_t old_size, size_t size) {
    (void)opaque, (void)old_size;
    if (!size) {
        free(block);
        return NULL;
    }
    void *larger = realloc(block, size);
    if (!larger)
        keep_places();
    return larger;
}

_Noreturn void out_of_memory(struct job *job) {
    nk_log("out of memory: a page may use what `nunatak build --memory` gives its machine");
    for (int n = 0; n < place_count; n++)
        nk_log("\t%s:%d:", places[n].file, places[n].line);
    log_request(job->request);
    nk_exit(NK_EXIT_NO_MEMORY);
}

lua_State *new_lua(void) {
    lua_State *L = luaL_newstate();
    lua_setallocf(L, allocate, NULL);
    NK_CONTROL->irq_handler = (uint64_t)on_time_up;
    NK_CONTROL->irq_mask = NK_IRQ_TIME;
    NK_CONTROL->irq_enable = 1;
    return L;
}
