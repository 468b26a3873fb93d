/*
 * Fibers: one stack per request being handled. A fiber runs until it waits or ends; the request loop, on the boot
 * stack, decides who is next. Nothing is ever preempted, so nothing here locks.
 *
 * A fiber's 64 KiB:  guard page | stack, grows down | struct nk_request, head, response, grow up
 *                    0x0000       0x1000              0x9800                               0x10000
 */
#include "libos.h"

_Static_assert(REQUEST_OFFSET + sizeof(struct nk_request) + REQUEST_HEAD_MAX + RESPONSE_SIZE <= NK_FIBER_STRIDE, "");

void fiber_switch(void **save, void *load);

struct fiber fibers[NK_FIBER_COUNT];
struct fiber *current;
unsigned sleepers;
static void *loop_stack;

/* A fiber that handles nothing, or NULL. The lowest: a quiet service touches the pages of one. */
struct fiber *fiber_free(void) {
    for (struct fiber *fiber = fibers; fiber < fibers + NK_FIBER_COUNT; fiber++)
        if (fiber->state == FIBER_FREE)
            return fiber;
    return NULL;
}

/* The fiber that handles `stream`, or NULL. */
struct fiber *fiber_of(uint32_t stream) {
    for (struct fiber *fiber = fibers; fiber < fibers + NK_FIBER_COUNT; fiber++)
        if (fiber->state != FIBER_FREE && fiber->stream == stream)
            return fiber;
    return NULL;
}

/* Runs the fiber until it waits or its request is done. From the loop only. */
void fiber_resume(struct fiber *fiber) {
    if (!fiber->stack) {
        void **top = (void **)fiber_request(fiber);
        top[-1] = NULL; /* where serve_fiber() would return to: ends a backtrace */
        top[-2] = (void *)serve_fiber;
        fiber->stack = memset(top - 8, 0, 6 * sizeof *top); /* RBP and its kin for fiber_switch to pop */
    }
    fiber->state = FIBER_RUNS;
    current = fiber;
    fiber_switch(&loop_stack, fiber->stack);
    current = NULL;
}

/* Goes back to the loop until fiber_resume(). From a fiber, or a thread that works for one: that looks again later. */
void fiber_wait(enum fiber_state why) {
    struct fiber *self = current;
    if (!self) {
        thread_pause();
        return;
    }
    self->state = why;
    fiber_switch(&self->stack, loop_stack);
}
