/*
 * The request loop: take records from the gate, give each to its request, idle when there is nothing to do.
 *
 * A head starts a fiber, or joins the backlog when all are busy. A body record goes to a fiber that waits for it straight
 * from the ring and is copied only as far as it is not read at once.
 */
#include "libos.h"

static nk_handler *serve_handler;
static struct chunk *backlog; /* heads without a fiber, and body records of their streams, oldest first */

/* What every fiber does, for ever. */
void serve_fiber(void) {
    for (;;) {
        nk_request *request = fiber_request(current);
        serve_handler(request);
        response_end(request);
        request_end(request);
        fiber_wait(FIBER_FREE);
    }
}

static void start(struct fiber *fiber, const struct record *head) {
    fiber->stream = head->stream;
    request_begin(fiber_request(fiber), head);
    fiber_resume(fiber);
}

static bool in_backlog(uint32_t stream) {
    for (const struct chunk *chunk = backlog; chunk; chunk = chunk->next)
        if (chunk->stream == stream)
            return true;
    return false;
}

static void drop(uint32_t stream) {
    for (struct chunk **link = &backlog, *chunk; (chunk = *link);) {
        if (chunk->stream == stream) {
            *link = chunk->next;
            heap_free(chunk);
        } else {
            link = &chunk->next;
        }
    }
}

static void keep(const struct record *record) {
    struct chunk *chunk = chunk_of(record), **last = &backlog;
    if (!chunk) {
        static const char sorry[] = "Status\000503\0";
        if (record->type == NK_RECORD_HEAD) {
            gate_send(NK_RECORD_HEAD, NK_FLAG_END, record->stream, sorry, sizeof sorry);
        } else {
            drop(record->stream);
            gate_send(NK_RECORD_RESET, 0, record->stream, "", 0);
        }
        return;
    }
    while (*last)
        last = &(*last)->next;
    *last = chunk;
}

/* Gives the oldest head of the backlog, and the body records behind it, to a fiber. */
static void start_from_backlog(struct fiber *fiber) {
    struct chunk *head = backlog;
    backlog = head->next;
    struct record record = {head->type, head->flags, head->stream, head->length, head->data};
    fiber->stream = head->stream;
    nk_request *request = fiber_request(fiber);
    request_begin(request, &record);
    for (struct chunk **link = &backlog, *chunk; (chunk = *link);) {
        if (chunk->stream == head->stream) {
            *link = chunk->next;
            chunk->next = NULL;
            request->complete |= chunk->flags & NK_FLAG_END;
            *(request->first ? &request->last->next : &request->first) = chunk;
            request->last = chunk;
        } else {
            link = &chunk->next;
        }
    }
    heap_free(head);
    fiber_resume(fiber);
}

static void take_body(struct fiber *fiber, const struct record *record) {
    nk_request *request = fiber_request(fiber);
    request->complete |= record->flags & NK_FLAG_END;
    struct record rest = *record;
    if (fiber->state == FIBER_WAITS_BODY) {
        request->body = record->payload;
        request->body_left = record->length;
        fiber_resume(fiber);
        if (fiber->state == FIBER_FREE)
            return;
        rest.payload = request->body;
        rest.length = (uint32_t)request->body_left;
        request->body_left = 0;
    }
    if (rest.length && request_append(request, &rest)) {
        request->aborted = true;
        gate_send(NK_RECORD_RESET, 0, record->stream, "", 0);
    }
}

static void dispatch(const struct record *record) {
    struct fiber *fiber;
    if (record->type == NK_RECORD_HEAD) {
        fiber = backlog ? NULL : fiber_free();
        if (fiber)
            start(fiber, record);
        else
            keep(record);
        return;
    }
    fiber = fiber_of(record->stream);
    switch (record->type) {
    case NK_RECORD_BODY:
        if (fiber)
            take_body(fiber, record);
        else if (in_backlog(record->stream))
            keep(record);
        else if (!(record->flags & NK_FLAG_END)) /* answered without reading it all: let the client finish */
            gate_credit(record->stream, record->length);
        break;
    case NK_RECORD_RESET:
        if (fiber) {
            fiber_request(fiber)->aborted = true;
            fiber_resume(fiber);
        } else {
            drop(record->stream);
        }
        break;
    case NK_RECORD_CREDIT:
        if (record->length != sizeof(uint32_t))
            panic("gate: credit without a number");
        if (fiber) {
            fiber_request(fiber)->window += *(const uint32_t *)record->payload;
            if (fiber->state == FIBER_WAITS_CREDIT)
                fiber_resume(fiber);
        }
        break;
    default:
        panic("gate: unknown record");
    }
}

/* Wakes whoever slept long enough; the next deadline, or IDLE_FOREVER. */
static uint64_t wake_sleepers(void) {
    uint64_t next_ns = NK_IDLE_FOREVER;
    for (struct fiber *fiber = fibers; sleepers && fiber < fibers + NK_FIBER_COUNT; fiber++) {
        if (fiber->state == FIBER_WAITS_TIME && fiber->wake_ns <= NK_INFO->mono_ns)
            fiber_resume(fiber);
        if (fiber->state == FIBER_WAITS_TIME)
            next_ns = MIN(next_ns, fiber->wake_ns);
    }
    return next_ns;
}

int serve(nk_handler *handler) {
    if (serve_handler)
        return -1;
    serve_handler = handler;
    HYPERCALL(NK_PORT_READY, 0, 0);
    for (;;) {
        struct record record;
        struct fiber *fiber;
        if (backlog && (fiber = fiber_free())) {
            start_from_backlog(fiber);
        } else if (gate_next(&record)) {
            dispatch(&record);
            gate_release(&record);
        } else {
            uint64_t next_ns = wake_sleepers();
            if (!(backlog && fiber_free()))
                HYPERCALL(NK_PORT_IDLE, next_ns, 0);
        }
    }
}
