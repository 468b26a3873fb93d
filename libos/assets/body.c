/*
 * Bytes of a variant to a client: from the image where they are, or from the disk block by block. On a fiber it waits for
 * credit and blocks. Where requests are events it goes as far as it can, and body_push() goes on: many slow clients
 * cost a little memory each, and nobody waits for them.
 */
#include "assets.h"

struct body {
    struct body *next;
    nk_request *request;
    uint64_t at, end;      /* what of the contents is still to go */
    char *buffer;          /* of what comes from a disk; NULL for what is in the image */
    size_t size;           /* of the buffer */
    uint32_t filled, sent; /* bytes in it, and how many of them went */
    int asked;             /* the read that is under way, which owns the buffer; -1: none */
};
enum step { STEP_DONE, STEP_WAITS, STEP_FAILED };

static struct body *bodies;

/* Bytes up to the end of a block: no read needs two. */
static size_t piece(uint64_t at, uint64_t end) {
    return (size_t)MIN(end - at, NK_DISK_BLOCK_SIZE - at % NK_DISK_BLOCK_SIZE);
}

static size_t buffer_size(struct span_of_bytes part) {
    return (size_t)MIN(part.end - part.start, (uint64_t)NK_DISK_BLOCK_SIZE);
}

/* A parked machine's record has no use for what was read. */
static void free_buffer(char *buffer, size_t size) {
    if (buffer)
        memset(buffer, 0, size);
    heap_free(buffer);
}

/* What cannot be read is there again in a moment, unless some of the answer has left. Whether there is an answer. */
static bool is_unavailable(nk_request *request) {
    if (response_restart(request))
        return false;
    response_status(request, 503);
    response_header(request, "Retry-After", "1");
    return true;
}

/* ---- On a fiber ---- */

static void send_waiting(nk_request *request, struct span_of_bytes part) {
    size_t size = buffer_size(part);
    char *buffer = heap_alloc(size);
    while (part.start < part.end) {
        ptrdiff_t got = buffer ? disk_read(index_disk(), buffer, piece(part.start, part.end), part.start) : 0;
        if (got <= 0) {
            if (!is_unavailable(request))
                response_abort(request);
            break;
        }
        if (response_write(request, buffer, (size_t)got))
            break;
        part.start += (uint64_t)got;
    }
    free_buffer(buffer, size);
}

/* ---- As events ---- */

static enum step push_from_image(struct body *body) {
    ptrdiff_t went = event_write(body->request, index_contents() + body->at, body->end - body->at);
    if (went < 0)
        return STEP_FAILED;
    body->at += (uint64_t)went;
    return body->at == body->end ? STEP_DONE : STEP_WAITS;
}

/* Takes what was read; false while it is under way. */
static bool take_read(struct body *body, int32_t *result) {
    if (!disk_read_done(body->asked, result))
        return false;
    body->asked = -1;
    body->filled = *result > 0 ? (uint32_t)*result : 0;
    body->sent = 0;
    return true;
}

static enum step push_from_disk(struct body *body) {
    for (;;) {
        int32_t result;
        if (body->asked >= 0) {
            if (!take_read(body, &result))
                return STEP_WAITS;
            if (result <= 0 || event_gone(body->request))
                return STEP_FAILED;
        }
        while (body->sent < body->filled) {
            ptrdiff_t went = event_write(body->request, body->buffer + body->sent, body->filled - body->sent);
            if (went <= 0)
                return went ? STEP_FAILED : STEP_WAITS;
            body->sent += (uint32_t)went;
            body->at += (uint64_t)went;
        }
        if (body->at == body->end)
            return STEP_DONE;
        body->asked = disk_read_begin(index_disk(), body->buffer, piece(body->at, body->end), body->at);
        if (body->asked < 0) /* too much is under way: what completes wakes us */
            return STEP_WAITS;
    }
}

static enum step push(struct body *body) {
    return body->buffer ? push_from_disk(body) : push_from_image(body);
}

/* Ends its request; false where it waits for more. */
static bool is_over(struct body *body) {
    enum step step = push(body);
    if (step == STEP_WAITS)
        return false;
    free_buffer(body->buffer, body->size);
    bool whole = step == STEP_DONE || (!event_gone(body->request) && is_unavailable(body->request));
    event_end(body->request, whole);
    return true;
}

static void begin(nk_request *request, struct span_of_bytes part) {
    struct body *body = heap_alloc(sizeof *body);
    size_t size = index_contents() ? 0 : buffer_size(part);
    char *buffer = size ? heap_alloc(size) : NULL;
    if (!body || (size && !buffer)) {
        heap_free(body);
        heap_free(buffer);
        event_end(request, is_unavailable(request));
        return;
    }
    *body = (struct body){bodies, request, part.start, part.end, buffer, size, 0, 0, -1};
    if (is_over(body))
        heap_free(body);
    else
        bodies = body;
}

/* The part of a variant, and then the response is complete. */
void body_send(nk_request *request, const struct asset_variant *variant, struct span_of_bytes part) {
    part.start += variant->data;
    part.end += variant->data;
    if (requests_are_events)
        begin(request, part);
    else if (index_contents())
        response_write(request, index_contents() + part.start, (size_t)(part.end - part.start));
    else
        send_waiting(request, part);
}

void body_push(void) {
    for (struct body **link = &bodies, *body; (body = *link);) {
        if (!is_over(body)) {
            link = &body->next;
            continue;
        }
        *link = body->next;
        heap_free(body);
    }
}
