/*
 * Requests of our own: an exchange lies on the heap, its answer's records behind it until they are read. The one who
 * waits is a fiber; what comes for an exchange that was closed is dropped.
 */
#include "requests.h"

#define FIELDS_MAX NK_RECORD_PAYLOAD_MAX
#define CREDIT_STEP (NK_STREAM_WINDOW / 4)

struct nk_upstream {
    struct nk_upstream *next;
    uint32_t stream, window, consumed;
    bool request_ended, answer_ended, over;
    struct fiber *waiter;
    struct chunk *head; /* the answer's status and fields */
    struct chunk *first, *last;
    const char *error;
    char reason[128];
};

static struct nk_upstream *exchanges;
static unsigned open_exchanges;
static uint32_t last_stream;

static struct nk_upstream *find(uint32_t stream) {
    struct nk_upstream *upstream = exchanges;
    while (upstream && upstream->stream != stream)
        upstream = upstream->next;
    return upstream;
}

/* What has ended both ways takes none of the places that a machine has, although its answer waits to be read. */
static void end_if_done(nk_upstream *upstream) {
    if (upstream->over || !upstream->request_ended || !upstream->answer_ended)
        return;
    upstream->over = true;
    open_exchanges--;
}

static void fail(nk_upstream *upstream, const char *why, size_t size) {
    size = MIN(size, sizeof upstream->reason - 1);
    memcpy(upstream->reason, why, size);
    upstream->reason[size] = 0;
    upstream->error = upstream->reason;
    upstream->request_ended = upstream->answer_ended = true;
    end_if_done(upstream);
}

static void keep(nk_upstream *upstream, const struct record *record) {
    static const char no_memory[] = "out of memory";
    struct chunk *chunk = chunk_of(record);
    if (!chunk) {
        gate_send(NK_RECORD_RESET, 0, upstream->stream, "", 0);
        fail(upstream, no_memory, sizeof no_memory - 1);
    } else if (record->type == NK_RECORD_HEAD) {
        upstream->head = chunk;
    } else {
        *(upstream->first ? &upstream->last->next : &upstream->first) = chunk;
        upstream->last = chunk;
    }
}

/* A record of an exchange, from the request loop. */
void upstream_take(const struct record *record) {
    nk_upstream *upstream = find(record->stream);
    if (!upstream)
        return;
    switch (record->type) {
    case NK_RECORD_HEAD:
    case NK_RECORD_BODY:
        upstream->answer_ended |= record->flags & NK_FLAG_END;
        if (record->length)
            keep(upstream, record);
        end_if_done(upstream);
        break;
    case NK_RECORD_CREDIT:
        if (record->length != sizeof(uint32_t))
            panic("gate: credit without a number");
        upstream->window += *(const uint32_t *)record->payload;
        break;
    case NK_RECORD_RESET:
        fail(upstream, record->payload, record->length);
        break;
    default:
        panic("gate: unknown record of an exchange");
    }
    struct fiber *waiter = upstream->waiter;
    if (waiter) {
        upstream->waiter = NULL;
        fiber_resume(waiter);
    }
}

/* Until a record comes; false where there is nobody who could wait, or nobody left to wait for. */
static bool wait(nk_upstream *upstream) {
    if (!current || fiber_request(current)->aborted)
        return false;
    upstream->waiter = current;
    fiber_wait(FIBER_WAITS_UPSTREAM);
    upstream->waiter = NULL;
    return true;
}

static int would_wait(void) {
    return current ? -1 : NK_WOULD_WAIT;
}

/* Appends text with its NUL at `at`, as far as `end`; where it ends, or NULL. */
static char *append(char *at, const char *end, const char *text) {
    size_t size = strlen(text) + 1;
    if (!at || size > (size_t)(end - at))
        return NULL;
    memcpy(at, text, size);
    return at + size;
}

nk_upstream *upstream_open(const char *method, const char *url, const char *fields, bool body) {
    char *block = open_exchanges < NK_MAX_EXCHANGES && NK_INFO->generation ? heap_alloc(FIELDS_MAX) : NULL;
    nk_upstream *upstream = block ? heap_zeroed(1, sizeof *upstream) : NULL;
    char *at = block;
    const char *end = block + FIELDS_MAX - 1;
    at = append(append(append(append(at, end, "Method"), end, method), end, "URL"), end, url);
    while (at && fields && *fields) {
        at = append(at, end, fields);
        fields += strlen(fields) + 1;
        at = append(at, end, fields);
        fields += strlen(fields) + 1;
    }
    if (!upstream || !at) {
        heap_free(block);
        heap_free(upstream);
        return NULL;
    }
    *at++ = 0;
    do
        last_stream = (last_stream + 1) | NK_EXCHANGE_BIT;
    while (find(last_stream));
    upstream->stream = last_stream;
    upstream->window = NK_STREAM_WINDOW;
    upstream->request_ended = !body;
    upstream->next = exchanges;
    exchanges = upstream;
    open_exchanges++;
    gate_send(NK_RECORD_SUBREQUEST, body ? 0 : NK_FLAG_END, upstream->stream, block, (uint32_t)(at - block));
    heap_free(block);
    return upstream;
}

ptrdiff_t upstream_write(nk_upstream *upstream, const void *data, size_t size, bool last) {
    const char *at = data;
    size_t left = size;
    while (left || last) {
        if (upstream->error)
            return -1;
        if (upstream->request_ended)
            return (ptrdiff_t)size; /* the answer is complete: nobody reads the rest */
        if (left && !upstream->window) {
            if (!wait(upstream))
                return current ? -1 : (ptrdiff_t)(size - left);
            continue;
        }
        uint32_t piece = (uint32_t)MIN(MIN(left, upstream->window), NK_RECORD_PAYLOAD_MAX);
        bool ends = last && piece == left;
        gate_send(NK_RECORD_BODY, ends ? NK_FLAG_END : 0, upstream->stream, at, piece);
        upstream->request_ended = ends;
        end_if_done(upstream);
        upstream->window -= piece;
        at += piece;
        left -= piece;
        if (ends)
            break;
    }
    return (ptrdiff_t)size;
}

int upstream_status(nk_upstream *upstream) {
    while (!upstream->head && !upstream->error)
        if (!wait(upstream))
            return would_wait();
    if (upstream->error && !upstream->head)
        return -1;
    const char *digits = upstream->head->data + sizeof "Status"; /* "Status\0200\0" comes first */
    return (digits[0] - '0') * 100 + (digits[1] - '0') * 10 + (digits[2] - '0');
}

bool upstream_next_field(nk_upstream *upstream, const char **name, const char **value) {
    if (!upstream->head)
        return false;
    const char *next = *name ? *value + strlen(*value) + 1 : upstream->head->data + sizeof "Status" + sizeof "200";
    if (next >= upstream->head->data + upstream->head->length || !*next)
        return false;
    *name = next;
    *value = next + strlen(next) + 1;
    return true;
}

ptrdiff_t upstream_read(nk_upstream *upstream, void *to, size_t size) {
    while (!upstream->first && !upstream->answer_ended)
        if (!wait(upstream))
            return would_wait();
    if (upstream->error)
        return -1;
    struct chunk *chunk = upstream->first;
    if (!chunk || !size)
        return 0;
    size = MIN(size, chunk->length - chunk->used);
    memcpy(to, chunk->data + chunk->used, size);
    chunk->used += (uint32_t)size;
    if (chunk->used == chunk->length) {
        upstream->first = chunk->next;
        heap_free(chunk);
    }
    upstream->consumed += (uint32_t)size;
    if (upstream->consumed >= CREDIT_STEP && !upstream->answer_ended) {
        gate_credit(upstream->stream, upstream->consumed);
        upstream->consumed = 0;
    }
    return (ptrdiff_t)size;
}

const char *upstream_error(nk_upstream *upstream) {
    return upstream->error;
}

void upstream_close(nk_upstream *upstream) {
    if (!upstream)
        return;
    if (!upstream->over) {
        gate_send(NK_RECORD_RESET, 0, upstream->stream, "", 0);
        open_exchanges--;
    }
    nk_upstream **link = &exchanges;
    while (*link != upstream)
        link = &(*link)->next;
    *link = upstream->next;
    for (struct chunk *chunk; (chunk = upstream->first);) {
        upstream->first = chunk->next;
        heap_free(chunk);
    }
    heap_free(upstream->head);
    heap_free(upstream);
}
