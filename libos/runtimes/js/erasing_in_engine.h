/* The engine's side of erasing.h; part of engine.c, after quickjs.c.
 *
 * The engine has small blocks in pages of its own, of one size each: a free one begins with a header that says which is the
 * next. Everything else, and those pages, come from heap.c. */
#include "erasing.h"
#include "heap.h"
#include "host.h"
#include "lasting.h"

#define STACK_BYTES (384 << 10) /* as deep as scripts go: main.c */

void erase_bytes(void *at, size_t size) {
    memset(at, 0, size);
    __asm__ volatile("" ::"r"(at) : "memory"); /* else a compiler leaves out what comes before free() */
}

static void *engine_malloc(void *opaque, size_t size) {
    (void)opaque;
    void *block = dlmalloc(size);
    return block || !collect_for(size) ? block : dlmalloc(size);
}

static void *engine_calloc(void *opaque, size_t count, size_t size) {
    (void)opaque;
    void *block = dlcalloc(count, size);
    return block || !collect_for(count * size) ? block : dlcalloc(count, size); /* the engine has seen that it is no overflow */
}

static void erasing_free(void *opaque, void *block) {
    (void)opaque;
    if (block && !serving)
        erase_bytes(block, dlmalloc_usable_size(block));
    dlfree(block);
}

static void *erasing_realloc(void *opaque, void *block, size_t size) {
    if (serving || !block) {
        void *made = dlrealloc(block, size);
        return made || !collect_for(size) ? made : dlrealloc(block, size);
    }
    size_t had = dlmalloc_usable_size(block);
    if (size <= had && size > had / 2)
        return block;
    void *made = dlmalloc(size);
    if (!made)
        return NULL;
    memcpy(made, block, had < size ? had : size);
    erasing_free(opaque, block);
    return made;
}

static size_t usable_size(const void *block) {
    return dlmalloc_usable_size((void *)(uintptr_t)block);
}

JSRuntime *erasing_runtime(void) {
    static const JSMallocFunctions functions = {
        .js_calloc = engine_calloc,
        .js_malloc = engine_malloc,
        .js_free = erasing_free,
        .js_realloc = erasing_realloc,
        .js_malloc_usable_size = usable_size,
    };
    JSRuntime *runtime = JS_NewRuntime2(&functions, NULL);
    collect_when_full(runtime);
    return runtime;
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
