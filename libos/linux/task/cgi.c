/*
 * A program as the answer to one request. Its machine was kept as it stood before the program's first instruction; the
 * handler makes the request's variables the environment and enters it on the boot stack, and its exit ends the
 * response. CGI (RFC 3875 section 6): a header block, an empty line, the body; `Status:` and `Location:` are ours,
 * and a path alone in the latter is the edge's to answer.
 * A plain run has no header block and ends the machine with its exit code; its response is pieces, each a channel and a
 * length before the bytes, for output, errors and a trace of the calls.
 */
#include "task.h"

#define HEADER_MAX 8192 /* bytes of one header line */
#define LOG_MAX 480

static nk_request *request;
static char line[HEADER_MAX];
static uint32_t line_length;
static bool body, failed, redirected, local, elsewhere, has_status; /* elsewhere: the edge answers for another path */
static uint32_t fields;
static char log_text[LOG_MAX + 1];
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

void cgi_handler(nk_request *given) {
    char nothing;
    request = given;
    request_read(request, &nothing, 0); /* finds where the body begins, while the head is as it came */
    program_begin(NK_INFO->program_kind == NK_PROGRAM_CGI ? environment() : NULL);
}

int64_t cgi_read(void *to, uint64_t size) {
    if (!request)
        return 0;
    int64_t got = request_read(request, to, size);
    return got < 0 ? 0 : got; /* the client is gone: no more will come */
}

/* The first line that is no header ends in a bad gateway. */
static void fail(void) {
    failed = true;
    response_status(request, 502);
}

static bool is(const char *name, uint32_t length, const char *wanted) {
    for (uint32_t i = 0; i < length; i++)
        if ((name[i] | 32) != wanted[i])
            return false;
    return !wanted[length];
}

/* One header line, without its end. */
static void header(void) {
    uint32_t colon = 0;
    while (colon < line_length && line[colon] != ':')
        colon++;
    if (!colon || colon == line_length)
        return fail();
    uint32_t at = colon + 1;
    while (at < line_length && (line[at] == ' ' || line[at] == '\t'))
        at++;
    line[line_length] = '\0';
    line[colon] = '\0';
    fields++;
    if (is(line, colon, "status")) {
        int code = 0;
        for (uint32_t digit = at; digit < at + 3 && line[digit] >= '0' && line[digit] <= '9'; digit++)
            code = code * 10 + (line[digit] - '0');
        has_status = true;
        if (response_status(request, code))
            fail();
    } else {
        if (is(line, colon, "location")) {
            redirected = true;
            local = line[at] == '/' && line[at + 1] != '/';
        }
        if (response_header(request, line, line + at))
            fail();
    }
}

/* Takes bytes of the header block; how many it took. */
static uint64_t headers(const char *from, uint64_t size) {
    for (uint64_t i = 0; i < size; i++) {
        if (from[i] != '\n') {
            if (line_length == HEADER_MAX - 1) {
                fail();
                return size;
            }
            line[line_length++] = from[i];
            continue;
        }
        if (line_length && line[line_length - 1] == '\r')
            line_length--;
        if (!line_length) {
            body = true;
            if (!fields)
                fail();
            else if (redirected && !has_status)
                response_status(request, 302);
            elsewhere = local && fields == 1; /* section 6.2.2; with more, the client follows */
            if (elsewhere)
                response_header(request, "X-Nunatak-Local", "1");
            return i + 1;
        }
        header();
        line_length = 0;
        if (failed)
            return size;
    }
    return size;
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
    if (!body && !failed)
        done = headers(bytes, size);
    if (failed)
        return (int64_t)size; /* nothing of it reaches the client */
    bool rest = done < size || !elsewhere; /* an ordinary head may leave with nothing behind it */
    if (body && rest && response_write(request, bytes + done, size - done))
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
    if (code)
        log_line("exit code %d", code);
    if (!body && !failed)
        fail();
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
