/*
 * A program as the answer to one request. Its machine was kept as it stood before the program's first instruction; the
 * handler makes the request's variables the environment and enters it on the boot stack, and its exit ends the
 * response. CGI (RFC 3875): the header block, which `cgi_head.c` reads, then the body; a path alone in `Location:` is
 * the edge's to answer. A body of unknown size is gathered first, since CONTENT_LENGTH says how much to read.
 * A plain run has no header block and ends the machine with its exit code; its response is pieces, each a channel and a
 * length before the bytes, for output, errors and a trace of the calls.
 */
#include "task.h"

#define LOG_MAX 480
#define BODY_MAX (4 << 20) /* bytes of a body that comes in chunks: an eighth of a machine's usual memory */

static nk_request *request;
static enum cgi_head header;
static char log_text[LOG_MAX + 1], body_size[40];
static uint32_t log_length;

/* Makes "NAME\0VALUE\0" "NAME=VALUE\0" in place; from here on nobody looks names up. */
static const char *environment(void) {
    char *at = request->head;
    while (at < request->head_end && *at) {
        at += strlen(at);
        *at = '=';
        at += strlen(at) + 1;
    }
    return request->head;
}

/* Waits for a body whose size the client has not said, and says it; false if it is too large, or the client is gone. */
static bool gather(void) {
    if (request_var(request, "CONTENT_LENGTH"))
        return true;
    bool none = request->complete;
    ptrdiff_t size = request_gather(request, BODY_MAX);
    if (size > 0 || (!size && !none))
        format_buffer(body_size, sizeof body_size, "CONTENT_LENGTH=%lu", (unsigned long)size);
    return size >= 0;
}

void cgi_handler(nk_request *given) {
    char nothing;
    request = given;
    bool cgi = NK_INFO->program_kind == NK_PROGRAM_CGI;
    if (cgi && !gather()) {
        if (!request->aborted)
            log_line("cgi: a body in chunks of at most %d bytes expected, or one with a Content-Length", BODY_MAX);
        response_status(request, 411);
        header = CGI_HEAD_FAILED; /* it is answered */
        cgi_exit(0);
    }
    cgi_head_begin(request);
    request_read(request, &nothing, 0); /* finds where the body begins, while the head is as it came */
    program_begin(cgi ? environment() : NULL, body_size);
}

int64_t cgi_read(void *to, uint64_t size) {
    if (!request)
        return 0;
    int64_t got = request_read(request, to, size);
    return got < 0 ? 0 : got; /* the client is gone: no more will come */
}

/* One piece of a plain run's response. */
static int64_t piece(uint8_t channel, const void *from, uint64_t size) {
    struct {
        uint8_t channel;
        uint32_t size;
    } __attribute__((packed)) head = {channel, (uint32_t)size};
    if (size > UINT32_MAX || response_write(request, &head, sizeof head) || response_write(request, from, size))
        return -EPIPE;
    return (int64_t)size;
}

void cgi_trace(const uint64_t words[8]) {
    if (request)
        piece(NK_RUN_TRACE, words, 8 * sizeof *words);
}

int64_t cgi_write(const void *from, uint64_t size) {
    if (!request)
        return -EPIPE;
    if (NK_INFO->program_kind == NK_PROGRAM_RUN)
        return piece(NK_RUN_OUTPUT, from, size);
    const char *bytes = from;
    uint64_t done = 0;
    if (header == CGI_HEAD_OPEN)
        header = cgi_head_take(request, bytes, size, &done);
    if (header == CGI_HEAD_FAILED)
        return (int64_t)size; /* nothing of it reaches the client */
    bool rest = done < size || !cgi_elsewhere; /* an ordinary head may leave with nothing behind it */
    if (header == CGI_HEAD_WHOLE && rest && response_write(request, bytes + done, size - done))
        return -EPIPE;
    return (int64_t)size;
}

static void log_flush(void) {
    log_text[log_length] = '\0';
    if (log_length)
        log_line("%s", log_text);
    log_length = 0;
}

/* Whole lines to the log. */
void cgi_error(const void *from, uint64_t size) {
    const char *bytes = from;
    if (NK_INFO->program_kind == NK_PROGRAM_RUN) {
        if (request)
            piece(NK_RUN_ERROR, from, size);
        return;
    }
    for (uint64_t i = 0; i < size; i++) {
        bool ends = bytes[i] == '\n';
        if (!ends)
            log_text[log_length++] = bytes[i] ? bytes[i] : ' ';
        if (ends || log_length == LOG_MAX)
            log_flush();
    }
}

/* The end of the program is the end of the response. */
_Noreturn void cgi_exit(int code) {
    log_flush();
    if (NK_INFO->program_kind == NK_PROGRAM_RUN) {
        response_flush(request);
        HYPERCALL(NK_PORT_NOTIFY, NK_NOTIFY_GATE, 0);
        for (;;)
            HYPERCALL(NK_PORT_EXIT, NK_RUN_EXIT | (code & 0xFF), 0);
    }
    if (code) {
        log_line("exit code %d", code);
        cgi_log_request();
    }
    if (header == CGI_HEAD_OPEN)
        cgi_head_end(request);
    response_end(request);
    request_end(request);
    fiber_of(request->stream)->state = FIBER_FREE;
    request = NULL;
    for (;;) /* this machine has served */
        if (current)
            fiber_wait(FIBER_FREE);
        else
            thread_wait(&(struct waiter){.address = ~0ull}, NK_IDLE_FOREVER);
}
