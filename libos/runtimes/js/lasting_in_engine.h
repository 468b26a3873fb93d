/* Objects that last as long as the machine, and when cycles of others are collected; part of engine.c.
 *
 * The engine's collector visits every object that there is, and writes to each, so it waits until memory has grown by
 * half: until then a machine would carry a megabyte of cycles that nobody refers to in its record. What base and image
 * have made is taken off its list. What that refers to counts as referred to from outside, so nothing is freed too
 * early; one of these objects that nobody refers to any more is freed as ever, by its count. Only cycles among them
 * stay. A collection then costs what requests have left, and can be made whenever that is some pages. */
#include "lasting.h"

#define GROWTH_MIN (32 << 10) /* bytes that are worth a collection */

static struct list_head lasting = {&lasting, &lasting};
static size_t lasting_bytes, kept_bytes; /* allocated when the objects were taken off, and after the last collection */

void lasting_objects(JSContext *ctx) {
    struct list_head *collected = &ctx->rt->gc_obj_list;
    if (collected->next == collected)
        return;
    lasting.prev->next = collected->next;
    collected->next->prev = lasting.prev;
    collected->prev->next = &lasting;
    lasting.prev = collected->prev;
    init_list_head(collected);
    lasting_bytes = kept_bytes = ctx->rt->malloc_state.malloc_size;
}

void collect_cycles(JSContext *ctx) {
    size_t now = ctx->rt->malloc_state.malloc_size, own = kept_bytes > lasting_bytes ? kept_bytes - lasting_bytes : 0;
    if (now < kept_bytes)
        kept_bytes = now;
    if (now - kept_bytes < GROWTH_MIN + own / 2)
        return;
    JS_RunGC(ctx->rt);
    kept_bytes = ctx->rt->malloc_state.malloc_size;
}
