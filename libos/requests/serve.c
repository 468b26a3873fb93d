/*
 * The request loop: take records from the gate, give each to its request, idle when there is nothing to do.
 *
 * A head starts a fiber, or joins the backlog when all are busy. A body record goes straight from the ring to a fiber
 * that waits for it, and is copied only as far as it is not read at once.
 */
#include "requests.h"

static nk_handler *serve_handler;

/* What every fiber does, for ever. */
static void serve_fiber(void) {
    for (;;) {
        nk_request *request = fiber_request(current);
        if (!request_is_taken(request))
            serve_handler(request);
        response_end(request);
        request_end(request);
        fiber_wait(FIBER_FREE);
    }
}

/* Lets a free fiber handle the request that lies in its memory. */
static void start(struct fiber *fiber, uint32_t stream) {
    fiber->stream = stream;
    fiber_resume(fiber);
}

static void abort_request(struct fiber *fiber) {
    fiber_request(fiber)->aborted = true;
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
    if (!rest.length)
        return;
    struct chunk *chunk = chunk_of(&rest);
    if (chunk) {
        request_append(request, chunk);
    } else { /* no memory for it: the request cannot be answered rightly */
        gate_send(NK_RECORD_RESET, 0, record->stream, "", 0);
        abort_request(fiber);
    }
}

static void dispatch(const struct record *record) {
    struct fiber *fiber;
    if (record->stream & NK_EXCHANGE_BIT) {
        upstream_take(record);
        return;
    }
    if (record->type == NK_RECORD_HEAD) {
        fiber = backlog_waits() ? NULL : fiber_free();
        if (fiber) {
            request_begin(fiber_request(fiber), record);
            start(fiber, record->stream);
        } else {
            backlog_keep(record);
        }
        return;
    }
    fiber = fiber_of(record->stream);
    switch (record->type) {
    case NK_RECORD_BODY:
        if (fiber)
            take_body(fiber, record);
        else if (backlog_has(record->stream))
            backlog_keep(record);
        else if (!(record->flags & NK_FLAG_END)) /* answered without reading it all: let the client finish */
            gate_credit(record->stream, record->length);
        break;
    case NK_RECORD_RESET:
        if (fiber)
            abort_request(fiber);
        else
            backlog_drop(record->stream);
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

/* What was written and not followed up leaves before the machine sleeps. Who waits for credit is sending already. */
static void push_all(void) {
    for (struct fiber *fiber = fibers; fiber < fibers + NK_FIBER_COUNT; fiber++)
        if (fiber->state != FIBER_FREE && fiber->state != FIBER_WAITS_CREDIT)
            response_push(fiber_request(fiber));
}

int serve(nk_handler *handler) {
    return serve_on(handler, 0);
}

int serve_on(nk_handler *handler, size_t stack_bytes) {
    if (serve_handler || !fibers_begin(serve_fiber, stack_bytes))
        return -1;
    serve_handler = handler;
    requests_begin();
    HYPERCALL(NK_PORT_READY, NK_READY_DONE, 0);
    for (;;) {
        struct record record;
        struct fiber *fiber;
        disk_collect();
        if (backlog_waits() && (fiber = fiber_free())) {
            start(fiber, backlog_begin(fiber_request(fiber)));
        } else if (gate_next(&record)) {
            dispatch(&record);
            gate_release(&record);
        } else {
            uint64_t next_ns = wake_sleepers();
            if (thread_hooks.idle)
                next_ns = thread_hooks.idle(next_ns);
            if (next_ns && !(backlog_waits() && fiber_free())) {
                push_all();
                HYPERCALL(NK_PORT_IDLE, next_ns, 0);
            }
        }
    }
}
