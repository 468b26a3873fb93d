/*
 * One response: head and body gather in the fiber's memory. What fits there leaves as one record when the handler
 * returns; what does not is streamed under the stream's credit, large pieces straight from the program's memory. What
 * is there when the machine goes to sleep leaves then.
 */
#include "requests.h"

static const char status_line[] = "Status\000200"; /* with its NUL; first in every head */
#define STATUS_DIGITS 7                            /* where "200" is */

static void begin_head(struct nk_request *request) {
    request->body_begun = false;
    memcpy(request->out, status_line, sizeof status_line);
    request->out_length = sizeof status_line;
}

void response_begin(struct nk_request *request) {
    request->head_sent = false;
    request->window = NK_STREAM_WINDOW;
    request->out_size = RESPONSE_SIZE;
    request->larger = NULL;
    begin_head(request);
}

/* Forgets what was said of the response, while none of it has left. */
int response_restart(nk_request *request) {
    if (request->head_sent)
        return -1;
    begin_head(request);
    return 0;
}

int response_status(nk_request *request, int code) {
    if (request->body_begun || (code < 200 && code != 101) || code > 599)
        return -1;
    char *digits = request->out + STATUS_DIGITS;
    digits[0] = (char)('0' + code / 100);
    digits[1] = (char)('0' + code / 10 % 10);
    digits[2] = (char)('0' + code % 10);
    return 0;
}

#define KEPT_FREE 1024 /* behind a head, for printf */

/* Makes room for a head that does not fit, on the heap; false where there is no memory for it, or it is too large. */
static bool enlarge(nk_request *request) {
    uint32_t size = MIN(request->out_size * 2, RESPONSE_SIZE_MAX);
    char *larger = request->out_size == RESPONSE_SIZE_MAX ? NULL : heap_alloc(size);
    if (!larger)
        return false;
    memcpy(larger, request->out, request->out_length);
    heap_free(request->larger);
    request->out = request->larger = larger;
    request->out_size = size;
    return true;
}

/* Bytes before the first that no field value may have: tabs are fine (RFC 9110 section 5.5). */
static size_t value_span(const char *value) {
    size_t size = printable_span(value);
    while (value[size] == '\t')
        size += 1 + printable_span(value + size + 1);
    return size;
}

int response_header(nk_request *request, const char *name, const char *value) {
    size_t name_size = printable_span(name), value_size = value_span(value);
    if (request->body_begun || !name_size || name[name_size] || value[value_size])
        return -1;
    if (name_size + value_size + 2 > RESPONSE_SIZE_MAX)
        return -1;
    while (request->out_length + name_size + value_size + 2 > request->out_size - KEPT_FREE)
        if (!enlarge(request))
            return -1;
    char *at = request->out + request->out_length;
    memcpy(at, name, name_size + 1);
    memcpy(at + name_size + 1, value, value_size + 1);
    request->out_length += (uint32_t)(name_size + value_size + 2);
    return 0;
}

/* Gives the response up: the client sees that it is not whole. */
void response_abort(nk_request *request) {
    if (!request->aborted)
        gate_send(NK_RECORD_RESET, 0, request->stream, "", 0);
    request->aborted = true;
}

static void begin_body(nk_request *request) {
    if (!request->body_begun) {
        request->body_begun = true;
        request->out[request->out_length++] = 0;
    }
}

/* Sends body bytes as the stream's credit allows. Waits. */
static int send_body(nk_request *request, const char *data, size_t size, uint16_t flags) {
    do {
        while (size && !request->window && !request->aborted)
            fiber_wait(FIBER_WAITS_CREDIT);
        if (request->aborted)
            return -1;
        uint32_t piece = (uint32_t)MIN(MIN(size, request->window), NK_RECORD_PAYLOAD_MAX);
        gate_send(NK_RECORD_BODY, piece == size ? flags : 0, request->stream, data, piece);
        request->window -= piece;
        data += piece;
        size -= piece;
    } while (size);
    return 0;
}

/* What a HEAD carries is outside of the window. One that does not fit into a record goes in several. */
static void send_head(struct nk_request *request, uint16_t flags) {
    const char *at = request->out;
    uint32_t left = request->out_length;
    for (; left > NK_RECORD_PAYLOAD_MAX; at += NK_RECORD_PAYLOAD_MAX, left -= NK_RECORD_PAYLOAD_MAX)
        gate_send(NK_RECORD_HEAD, NK_FLAG_MORE, request->stream, at, NK_RECORD_PAYLOAD_MAX);
    gate_send(NK_RECORD_HEAD, flags, request->stream, at, left);
    request->head_sent = true;
    request->out_size = MIN(request->out_size, NK_RECORD_PAYLOAD_MAX); /* what joins from here on leaves as one record */
}

/* Sends what is buffered. */
static int send_buffered(nk_request *request, uint16_t flags) {
    uint32_t length = request->out_length;
    if (request->aborted)
        return -1;
    if (request->head_sent) {
        if (send_body(request, request->out, length, flags))
            return -1;
    } else {
        send_head(request, flags);
    }
    request->out_length = 0;
    return 0;
}

void response_end(struct nk_request *request) {
    begin_body(request);
    send_buffered(request, NK_FLAG_END);
}

int response_flush(nk_request *request) {
    begin_body(request);
    if (request->head_sent && !request->out_length)
        return request->aborted ? -1 : 0;
    return send_buffered(request, 0);
}

/* Sends what is buffered of a body that has begun, as far as the client's credit goes: never waits. */
void response_push(nk_request *request) {
    if (!request->body_begun || request->aborted)
        return;
    if (!request->head_sent) {
        send_buffered(request, 0);
        return;
    }
    uint32_t piece = MIN(request->out_length, request->window);
    if (!piece)
        return;
    gate_send(NK_RECORD_BODY, 0, request->stream, request->out, piece);
    request->window -= piece;
    request->out_length -= piece;
    memmove(request->out, request->out + piece, request->out_length);
}

int response_write(nk_request *request, const void *data, size_t size) {
    if (request->aborted)
        return -1;
    begin_body(request);
    if (size > request->out_size - request->out_length) {
        if (response_flush(request))
            return -1;
        if (size > request->out_size)
            return send_body(request, data, size, 0);
    }
    memcpy(request->out + request->out_length, data, size);
    request->out_length += (uint32_t)size;
    return 0;
}

static bool flush_sink(struct sink *sink) {
    nk_request *request = sink->owner;
    request->out_length = (uint32_t)(sink->at - request->out);
    if (response_flush(request))
        return false;
    sink->at = request->out;
    return true;
}

int response_printf(nk_request *request, const char *format, ...) {
    if (request->aborted)
        return -1;
    begin_body(request);
    struct sink sink = {request->out + request->out_length, request->out + request->out_size, flush_sink, request};
    va_list arguments;
    va_start(arguments, format);
    format_to(&sink, format, arguments);
    va_end(arguments);
    if (request->aborted)
        return -1;
    request->out_length = (uint32_t)(sink.at - request->out);
    return 0;
}
