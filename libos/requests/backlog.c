/* Requests that wait because every fiber is busy: their heads, and the body records that came since, on the heap. */
#include "requests.h"

static struct chunk *backlog; /* oldest first */

bool backlog_waits(void) {
    return backlog != NULL;
}

bool backlog_has(uint32_t stream) {
    for (const struct chunk *chunk = backlog; chunk; chunk = chunk->next)
        if (chunk->stream == stream)
            return true;
    return false;
}

/* The client is gone. */
void backlog_drop(uint32_t stream) {
    for (struct chunk **link = &backlog, *chunk; (chunk = *link);) {
        if (chunk->stream == stream) {
            *link = chunk->next;
            heap_free(chunk);
        } else {
            link = &chunk->next;
        }
    }
}

/* Without memory to keep it, the request ends here: 503 for a head, a reset for one that lost part of its body. */
void backlog_keep(const struct record *record) {
    static const char unavailable[] = "Status\000503\0";
    struct chunk *chunk = chunk_of(record), **last = &backlog;
    if (chunk) {
        while (*last)
            last = &(*last)->next;
        *last = chunk;
    } else if (record->type == NK_RECORD_HEAD) {
        gate_send(NK_RECORD_HEAD, NK_FLAG_END, record->stream, unavailable, sizeof unavailable);
    } else {
        backlog_drop(record->stream);
        gate_send(NK_RECORD_RESET, 0, record->stream, "", 0);
    }
}

/* Makes the oldest head, with the body records behind it, the given request; its stream. */
uint32_t backlog_begin(struct nk_request *request) {
    struct chunk *head = backlog;
    struct record record = {head->type, head->flags, head->stream, head->length, head->data};
    backlog = head->next;
    request_begin(request, &record);
    heap_free(head);
    for (struct chunk **link = &backlog, *chunk; (chunk = *link);) {
        if (chunk->stream == record.stream) {
            *link = chunk->next;
            request_append(request, chunk);
        } else {
            link = &chunk->next;
        }
    }
    return record.stream;
}
