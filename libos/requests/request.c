/* One request: its variables, looked up in the head as it came, and its body, read as it comes. */
#include "requests.h"

#define CREDIT_STEP (NK_STREAM_WINDOW / 4) /* fewer records than credit for every read, and the client never stalls */

bool requests_are_events;
struct early_answers early_answers;

/* The image is complete, and requests come next. */
void requests_begin(void) {
    if (early_answers.begin)
        early_answers.begin();
}

/* Whether somebody answers before the program hears of it. */
bool request_is_taken(nk_request *request) {
    return early_answers.take && early_answers.take(request);
}

void request_begin(struct nk_request *request, const struct record *head) {
    memcpy(request->head, head->payload, head->length);
    request->head_end = request->head + head->length;
    memset(request->head_end, 0, 8); /* whatever the VMM sent, walks end here */
    request->stream = head->stream;
    request->complete = head->flags & NK_FLAG_END;
    request->aborted = false;
    request->body = NULL;
    request->body_left = 0;
    request->first = request->last = NULL;
    request->consumed = 0;
    request->out = (char *)ALIGN_UP((uintptr_t)request->head_end + 8, 8);
    response_begin(request);
}

/* Bytes of the body that are here and not read. */
static size_t waiting(const nk_request *request) {
    size_t size = request->body_left;
    for (const struct chunk *chunk = request->first; chunk; chunk = chunk->next)
        size += chunk->length - chunk->used;
    return size;
}

static void drop_body(nk_request *request) {
    request->body_left = 0;
    for (struct chunk *chunk; (chunk = request->first);) {
        request->first = chunk->next;
        heap_free(chunk);
    }
}

/* Forgets the body nobody read, and lets the client finish sending it. */
void request_end(struct nk_request *request) {
    heap_free(request->larger);
    request->larger = NULL;
    uint32_t unread = request->consumed + (uint32_t)waiting(request);
    drop_body(request);
    if (!request->complete && !request->aborted)
        gate_credit(request->stream, unread);
}

/* A copy of the record on the heap, or NULL. */
struct chunk *chunk_of(const struct record *record) {
    struct chunk *chunk = heap_alloc(sizeof *chunk + record->length);
    if (chunk) {
        *chunk = (struct chunk){NULL, record->stream, 0, record->length, record->type, record->flags};
        memcpy(chunk->data, record->payload, record->length);
    }
    return chunk;
}

/* Puts a body record behind what waits to be read. */
void request_append(struct nk_request *request, struct chunk *chunk) {
    chunk->next = NULL;
    *(request->first ? &request->last->next : &request->first) = chunk;
    request->last = chunk;
    request->complete |= chunk->flags & NK_FLAG_END;
}

bool request_next_var(nk_request *request, const char **name, const char **value) {
    const char *next = *name ? *value + strlen(*value) + 1 : request->head;
    if (next >= request->head_end || !*next)
        return false;
    *name = next;
    *value = next + strlen(next) + 1;
    return true;
}

const char *request_var(nk_request *request, const char *name) {
    size_t size = strlen(name) + 1;
    for (const char *at = request->head; at < request->head_end && *at;) {
        if (*at == *name && !memcmp(at, name, size))
            return at + size;
        at += strlen(at) + 1;
        at += strlen(at) + 1;
    }
    return NULL;
}

/* Points `body` behind the empty name that ends the variables. */
static void locate_inline_body(nk_request *request) {
    const char *name = NULL, *value, *end = request->head;
    while (request_next_var(request, &name, &value))
        end = value + strlen(value) + 1;
    request->body = MIN(end + 1, request->head_end);
    request->body_left = (size_t)(request->head_end - request->body);
}

/* Waits for all of the body and keeps it to be read. Its size; -1 and nothing kept if it is larger than `max`, or the
 * client is gone. */
ptrdiff_t request_gather(nk_request *request, size_t max) {
    if (!request->body)
        locate_inline_body(request);
    for (size_t size, credited = 0;; credited = size) {
        size = waiting(request);
        if (request->aborted || size > max) {
            drop_body(request);
            request->consumed = (uint32_t)(size - credited);
            return -1;
        }
        if (request->complete)
            return (ptrdiff_t)size;
        if (size > credited)
            gate_credit(request->stream, (uint32_t)(size - credited));
        fiber_wait(FIBER_WAITS_BODY);
    }
}

static size_t take(nk_request *request, void *to, size_t size) {
    struct chunk *chunk = request->first;
    if (request->body_left) {
        size = MIN(size, request->body_left);
        memcpy(to, request->body, size);
        request->body += size;
        request->body_left -= size;
    } else {
        size = MIN(size, chunk->length - chunk->used);
        memcpy(to, chunk->data + chunk->used, size);
        chunk->used += (uint32_t)size;
        if (chunk->used == chunk->length) {
            request->first = chunk->next;
            heap_free(chunk);
        }
    }
    return size;
}

ptrdiff_t request_read(nk_request *request, void *to, size_t size) {
    if (!request->body)
        locate_inline_body(request);
    while (size && !request->aborted && !request->body_left && !request->first && !request->complete) {
        if (requests_are_events)
            return NK_WOULD_WAIT;
        fiber_wait(FIBER_WAITS_BODY);
    }
    if (request->aborted)
        return -1;
    if (!size || (!request->body_left && !request->first))
        return 0;
    size = take(request, to, size);
    request->consumed += (uint32_t)size;
    if (request->consumed >= CREDIT_STEP && !request->complete) {
        gate_credit(request->stream, request->consumed);
        request->consumed = 0;
    }
    return (ptrdiff_t)size;
}
