/*
 * Requests as events: for runtimes with an event loop of their own, where serve.c gives each request a stack. Nothing
 * here waits but event_wait(); what would have to, says NK_WOULD_WAIT.
 */
#include "requests.h"

static nk_request *fresh_first, *fresh_last; /* not yet taken by event_next() */
static nk_request *open_first;               /* all that are not finished */
static nk_request *spare;                    /* one is kept, so that a quiet service touches the same pages */

static nk_request *find(uint32_t stream) {
    nk_request *request = open_first;
    while (request && request->stream != stream)
        request = request->next_open;
    return request;
}

static void begin(const struct record *head) {
    static const char unavailable[] = "Status\000503\0";
    size_t size = sizeof(nk_request) + head->length + 16 + RESPONSE_SIZE;
    nk_request *request = spare && spare->size >= size ? spare : heap_alloc(size);
    if (!request) {
        gate_send(NK_RECORD_HEAD, NK_FLAG_END, head->stream, unavailable, sizeof unavailable);
        return;
    }
    if (request == spare)
        spare = NULL;
    else
        request->size = size;
    request_begin(request, head);
    request->next_open = open_first;
    open_first = request;
    request->next_fresh = NULL;
    *(fresh_first ? &fresh_last->next_fresh : &fresh_first) = request;
    fresh_last = request;
}

static void take(const struct record *record) {
    if (record->stream & NK_EXCHANGE_BIT) {
        upstream_take(record);
        return;
    }
    if (record->type == NK_RECORD_HEAD) {
        begin(record);
        return;
    }
    nk_request *request = find(record->stream);
    if (!request) {
        if (record->type == NK_RECORD_BODY && !(record->flags & NK_FLAG_END)) /* let the client finish */
            gate_credit(record->stream, record->length);
        return;
    }
    struct chunk *chunk;
    switch (record->type) {
    case NK_RECORD_BODY:
        request->complete |= record->flags & NK_FLAG_END;
        if (!record->length)
            break;
        if ((chunk = chunk_of(record))) {
            request_append(request, chunk);
        } else { /* no memory for it: the request cannot be answered rightly */
            gate_send(NK_RECORD_RESET, 0, record->stream, "", 0);
            request->aborted = true;
        }
        break;
    case NK_RECORD_RESET:
        request->aborted = true;
        break;
    case NK_RECORD_CREDIT:
        if (record->length != sizeof(uint32_t))
            panic("gate: credit without a number");
        request->window += *(const uint32_t *)record->payload;
        break;
    default:
        panic("gate: unknown record");
    }
}

static bool take_all(void) {
    struct record record;
    bool any = false;
    while (gate_next(&record)) {
        take(&record);
        gate_release(&record);
        any = true;
    }
    return any;
}

/* The image ends here; then requests come. */
void event_begin(void) {
    requests_are_events = true;
    requests_begin();
    HYPERCALL(NK_PORT_READY, NK_READY_DONE, 0);
}

/* The oldest request that nobody has taken, or NULL. */
nk_request *event_next(void) {
    nk_request *request;
    while ((request = fresh_first)) {
        fresh_first = request->next_fresh;
        if (!request_is_taken(request))
            break;
    }
    return request;
}

/* Takes in what has come; if nothing had, sleeps until something does or mono_ns is here. What was written before and
 * not ended leaves now. */
void event_wait(uint64_t mono_ns) {
    if (early_answers.push)
        early_answers.push();
    for (nk_request *request = open_first; request; request = request->next_open)
        response_push(request);
    disk_collect();
    if (take_all())
        return;
    if (mono_ns > NK_INFO->mono_ns)
        HYPERCALL(NK_PORT_IDLE, mono_ns, 0);
    disk_collect();
    take_all();
}

/* Body bytes, as many as may go now: how many that were, or -1 when the client is gone. */
ptrdiff_t event_write(nk_request *request, const void *data, size_t size) {
    if (request->aborted)
        return -1;
    if (!request->head_sent) {
        if (request->out_length + size < request->out_size)
            return response_write(request, data, size) ? -1 : (ptrdiff_t)size;
        response_flush(request);
    }
    if (request->out_length + size <= MIN(request->out_size, request->window)) { /* joins what leaves with this turn */
        memcpy(request->out + request->out_length, data, size);
        request->out_length += (uint32_t)size;
        return (ptrdiff_t)size;
    }
    response_push(request); /* all of it: no more is gathered than the window has */
    const char *at = data;
    size_t left = size;
    while (left && request->window) {
        uint32_t piece = (uint32_t)MIN(MIN(left, request->window), NK_RECORD_PAYLOAD_MAX);
        gate_send(NK_RECORD_BODY, 0, request->stream, at, piece);
        request->window -= piece;
        at += piece;
        left -= piece;
    }
    return (ptrdiff_t)(size - left);
}

bool event_gone(nk_request *request) {
    return request->aborted;
}

/* The response is complete, or given up; the request is no more. */
void event_end(nk_request *request, bool complete) {
    if (!request->aborted) {
        if (!complete)
            gate_send(NK_RECORD_RESET, 0, request->stream, "", 0);
        else
            response_end(request); /* never waits here, as above */
    }
    request_end(request);
    nk_request **link = &open_first;
    while (*link != request)
        link = &(*link)->next_open;
    *link = request->next_open;
    if (!spare)
        spare = request;
    else
        heap_free(request);
}

/* Work goes on that outlives its request: who would park the machine waits a little. */
void event_owes(bool owes) {
    NK_CONTROL->owes = owes;
}

/* A runtime without a program: the memory as it is now is the base that programs are derived from. */
void event_base(void) {
    HYPERCALL(NK_PORT_READY, NK_READY_DONE, 0);
    pages_resize();
}
