/* The engine's side of erasing.h; part of engine.c, after quickjs.c.
 *
 * The engine has small blocks in pages of its own, of one size each: a free one begins with a header that says which is the
 * next. Everything else comes from malloc(). */
#include <malloc.h>

#include "erasing.h"
#include "host.h"

#define STACK_BYTES (384 << 10) /* as deep as scripts go: main.c */

void erase_bytes(void *at, size_t size) {
    memset(at, 0, size);
    __asm__ volatile("" ::"r"(at) : "memory"); /* else a compiler leaves out what comes before free() */
}

static void erasing_free(void *opaque, void *block) {
    (void)opaque;
    if (block && !serving)
        erase_bytes(block, malloc_usable_size(block));
    free(block);
}

static void *erasing_realloc(void *opaque, void *block, size_t size) {
    if (serving || !block)
        return realloc(block, size);
    size_t had = malloc_usable_size(block);
    if (size <= had && size > had / 2)
        return block;
    void *made = malloc(size);
    if (!made)
        return NULL;
    memcpy(made, block, had < size ? had : size);
    erasing_free(opaque, block);
    return made;
}

JSRuntime *erasing_runtime(void) {
    JSMallocFunctions functions = def_malloc_funcs;
    functions.js_free = erasing_free;
    functions.js_realloc = erasing_realloc;
    return JS_NewRuntime2(&functions, NULL);
}

void erase_freed(JSContext *ctx) {
    for (int n = 0; n < JS_ARENA_BLOCK_SIZE_COUNT; n++) {
        struct list_head *pages = &ctx->rt->arena_state.free_arena_list[n];
        size_t size = arena_block_sizes[n];
        for (struct list_head *page = pages->next; page != pages; page = page->next) {
            JSArena *arena = list_entry(page, JSArena, free_link);
            for (unsigned at = arena->first_free_block; at != JS_ARENA_FREE_NIL;) {
                JSMallocBlockHeader *block = arena_get_block(arena, at, size);
                at = block->u.free_next;
                block->gc_obj_type = block->mark = block->ref_count = 0;
                erase_bytes(block->user_data, size - sizeof(*block));
            }
        }
    }
}

__attribute__((noinline)) void erase_stack(void) {
    char below[STACK_BYTES];
    erase_bytes(below, sizeof(below));
}

#undef STACK_BYTES
