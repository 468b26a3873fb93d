/*
 * Fibers: one stack per request being handled. A fiber runs until it waits or ends; the request loop, on the boot
 * stack, decides who is next. Nothing is ever preempted, so nothing here locks.
 *
 * A fiber's 64 KiB:  guard page | stack, grows down | struct nk_request, head, response, grow up
 *                    0x0000       0x1000              0x9800                               0x10000
 *
 * A program that needs more stack has it on the heap, a block for each fiber that has run. No guard page lies below such a
 * block: its lowest word tells whether the stack ever reached it.
 */
#include "requests.h"

_Static_assert(REQUEST_OFFSET + sizeof(struct nk_request) + REQUEST_HEAD_MAX + RESPONSE_SIZE <= NK_FIBER_STRIDE, "");

struct fiber fibers[NK_FIBER_COUNT];
struct fiber *current;
unsigned sleepers;
static void *loop_stack;
static void (*fiber_run)(void);
static size_t heap_stack; /* bytes of each fiber's stack on the heap; 0: the stacks drawn above */

#define UNTOUCHED 0x6b6361747320676eul /* the lowest word of a stack that never reached it */
#define HEAP_STACK_MIN 0x4000

/* Gives a fiber without a stack one, on which the first fiber_resume() calls fiber_run(). False: no memory for it. */
static bool prepare(struct fiber *fiber) {
    void **top = (void **)fiber_request(fiber);
    if (heap_stack) {
        fiber->floor = heap_alloc(heap_stack);
        if (!fiber->floor)
            return false;
        *fiber->floor = UNTOUCHED;
        top = (void **)((char *)fiber->floor + heap_stack);
    }
    top[-1] = NULL; /* where fiber_run() would return to: ends a backtrace */
    top[-2] = (void *)fiber_run;
    fiber->stack = memset(top - 8, 0, 6 * sizeof *top); /* the registers that fiber_switch pops */
    return true;
}

/* What every fiber runs, which does not return, and on what stack. False: not even one can have that much. */
bool fibers_begin(void (*run)(void), size_t stack_bytes) {
    fiber_run = run;
    heap_stack = stack_bytes ? ALIGN_UP(stack_bytes, HEAP_STACK_MIN) : 0;
    return !heap_stack || prepare(&fibers[0]);
}

/* A fiber that handles nothing, or NULL. The lowest: a quiet service touches the pages of one. */
struct fiber *fiber_free(void) {
    for (struct fiber *fiber = fibers; fiber < fibers + NK_FIBER_COUNT; fiber++)
        if (fiber->state == FIBER_FREE && (fiber->stack || prepare(fiber)))
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
    fiber->state = FIBER_RUNS;
    current = fiber;
    fiber_switch(&loop_stack, fiber->stack);
    current = NULL;
    if (fiber->floor && *fiber->floor != UNTOUCHED)
        panic("a handler used up its stack");
}

/* Where there are no threads, who has no fiber is alone in the machine. */
static void sleep_a_little(void) {
    time_refresh();
    uint64_t until_ns = NK_INFO->mono_ns + PAUSE_NS;
    while (NK_INFO->mono_ns < until_ns)
        HYPERCALL(NK_PORT_IDLE, until_ns, 0);
}

struct thread_hooks thread_hooks = {.pause = sleep_a_little};

/* Goes back to the loop until fiber_resume(). From a fiber, or from who has none: that looks again a little later. */
void fiber_wait(enum fiber_state why) {
    struct fiber *self = current;
    if (!self) {
        thread_hooks.pause();
        return;
    }
    self->state = why;
    fiber_switch(&self->stack, loop_stack);
}
