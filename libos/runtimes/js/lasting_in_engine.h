/* Objects that last as long as the machine, and when cycles of others are collected; part of engine.c.
 *
 * The engine's collector visits every object that there is, and writes to each, so it waits until memory has grown by
 * half: until then a machine would carry a megabyte of cycles that nobody refers to in its record. What base and image
 * have made is taken off its list. What that refers to counts as referred to from outside, so nothing is freed too
 * early; one of these objects that nobody refers to any more is freed as ever, by its count. Only cycles among them
 * stay. A collection then costs what requests have left, and can be made whenever that is some pages. */
#include "host.h"
#include "lasting.h"

#define LARGE_MIN (16 << 10) /* bytes of a block that a collection may make room for */
#define ROOM_SHARE 2         /* part of the room that is left after a collection, which is used before the next one */
#define ROOM_MIN (256 << 10)
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

/* The engine collects when its memory has grown by half since it last did. Where that is more than there is room for, it
 * collects sooner: each time that half of the room is used that the last collection left. */
static size_t sooner(size_t now, size_t threshold) {
    size_t all = (NK_INFO->memory_bytes - NK_INFO->heap) / 8 * 7; /* blocks have heads, and others have some of it */
    size_t room = now < all ? (all - now) / ROOM_SHARE : 0, next = now + (room > ROOM_MIN ? room : ROOM_MIN);
    return next < threshold ? next : threshold;
}

static void hooked_trigger(JSRuntime *runtime, size_t size) {
    size_t before = runtime->malloc_gc_threshold;
    engine_trigger(runtime, size);
    if (runtime->malloc_gc_threshold != before)
        runtime->malloc_gc_threshold = sooner(runtime->malloc_state.malloc_size, runtime->malloc_gc_threshold);
}

static JSRuntime *collected;

void collect_when_full(JSRuntime *runtime) {
    collected = runtime;
}

/* Texts and buffers are large and the collector is not asked before they are made, so it may know of what would make room
 * for one. What is small is part of an object that is being made, and does not wait for the collector, which would look at
 * it: whoever asks for much is between two steps. */
bool collect_for(size_t size) {
    if (size < LARGE_MIN || !collected || collected->gc_phase != JS_GC_PHASE_NONE)
        return false;
    JS_RunGC(collected);
    return true;
}
