/*
 * The header block that a CGI program writes (RFC 3875 section 6), line by line as it comes. Lines end with LF or CR LF; a
 * line that begins with a space goes on where the one before ended, as RFC 9112 section 5.2 lets a gateway read it; values
 * are those of RFC 9110 section 5.5. `Status:` and `Location:` are ours. A first line "HTTP/1.1 200 OK" is the status of a
 * program that writes whole answers (NPH, section 5); what it says before its last status is not passed on.
 * What is no header ends in a bad gateway, and in a line for the publisher that says what was expected.
 */
#include "task.h"

#define LINE_MAX NK_RECORD_PAYLOAD_MAX /* bytes of one line, with those that go on with it: no head is longer */
#define SHOWN 60                       /* bytes of a line that is quoted */

static char line[LINE_MAX];
static uint32_t length, start; /* of the line as it has gone on, and where its last part begins */
static bool has_status, interim, redirected, local;
static uint32_t fields;
static enum cgi_head state;
static const char *method, *path, *id; /* of the request, as they lie in its head */
bool cgi_elsewhere;

void cgi_head_begin(nk_request *request) {
    method = request_var(request, "REQUEST_METHOD");
    path = request_var(request, "PATH_INFO");
    id = request_var(request, "HTTP_X_REQUEST_ID");
}

void cgi_log_request(void) {
    if (method && path && id)
        log_line("    for %s %.300s (%s)", method, path, id);
}

static void fail(nk_request *request, const char *expected, const char *got, uint32_t size) {
    char shown[SHOWN + 1];
    size = MIN(size, SHOWN);
    for (uint32_t i = 0; i < size; i++)
        shown[i] = got[i] >= 0x20 && got[i] < 0x7F ? got[i] : '?';
    shown[size] = '\0';
    log_line("cgi: %s expected%s%s%s", expected, got ? ", got \"" : "", shown, got ? "\"" : "");
    cgi_log_request();
    response_restart(request);
    response_status(request, 502);
    state = CGI_HEAD_FAILED;
}

static bool is_blank(char c) {
    return c == ' ' || c == '\t';
}

/* RFC 9110 section 5.6.2 */
static bool in_token(char c) {
    return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || (c && strchr("!#$%&'*+-.^_`|~", c));
}

static bool is(const char *name, uint32_t size, const char *wanted) {
    for (uint32_t i = 0; i < size; i++)
        if ((name[i] | 0x20) != wanted[i])
            return false;
    return !wanted[size];
}

/* A status code and what may follow it; 0 for what is none. */
static int status_of(const char *text) {
    int code = 0;
    for (int i = 0; i < 3; i++) {
        if (text[i] < '0' || text[i] > '9')
            return 0;
        code = code * 10 + (text[i] - '0');
    }
    return text[3] && !is_blank(text[3]) ? 0 : code;
}

static void set_status(nk_request *request, int code, const char *text, uint32_t size) {
    has_status = true;
    if (response_status(request, code))
        fail(request, "a status from 200 to 599", text, size);
}

/* A status line where the first header would be. */
static void status_line(nk_request *request) {
    uint32_t at = 5;
    while (at < length && !is_blank(line[at]))
        at++;
    while (at < length && is_blank(line[at]))
        at++;
    int code = status_of(line + at);
    interim = code >= 100 && code < 200;
    if (!interim)
        set_status(request, code, line, length);
}

static void field(nk_request *request, uint32_t colon, uint32_t value, uint32_t end) {
    line[colon] = '\0';
    fields++;
    if (is(line, colon, "status"))
        return set_status(request, status_of(line + value), line + value, end - value);
    if (is(line, colon, "transfer-encoding")) {
        fail(request, "no Transfer-Encoding, since the edge frames the body,", line + value, end - value);
        return;
    }
    if (is(line, colon, "content-length"))
        for (uint32_t at = value; at < end || at == value; at++)
            if (line[at] < '0' || line[at] > '9') {
                fail(request, "a number of bytes in Content-Length", line + value, end - value);
                return;
            }
    if (is(line, colon, "location")) {
        redirected = true;
        local = line[value] == '/' && line[value + 1] != '/';
    }
    if (response_header(request, line, line + value))
        fail(request, "a header block that fits into 64 KiB", line, colon);
}

/* One whole line; not the empty one. */
static void whole_line(nk_request *request) {
    line[length] = '\0';
    if (!fields && !has_status && !interim && !strncmp(line, "HTTP/", 5))
        return status_line(request);
    if (interim)
        return;
    uint32_t colon = 0, end = length;
    while (in_token(line[colon]))
        colon++;
    uint32_t value = colon + 1;
    if (!colon || line[colon] != ':') {
        fail(request, "a header line NAME: VALUE, or an empty line before the body,", line, length);
        return;
    }
    while (end > value && is_blank(line[end - 1]))
        line[--end] = '\0';
    while (value < end && is_blank(line[value]))
        value++;
    for (uint32_t at = value; at < end; at++)
        if (((unsigned char)line[at] < 0x20 && line[at] != '\t') || line[at] == 0x7F) {
            fail(request, "no control character in a header line", line, length);
            return;
        }
    field(request, colon, value, end);
}

/* The empty line. */
static void end_of_block(nk_request *request) {
    if (interim) { /* the answer proper follows */
        interim = false;
        return;
    }
    if (!fields && !has_status) {
        fail(request, "a header such as \"Content-Type: text/plain\" before the empty line", NULL, 0);
        return;
    }
    if (redirected && !has_status)
        response_status(request, 302);
    cgi_elsewhere = local && fields == 1 && !has_status; /* section 6.2.2; with more, the client follows */
    if (cgi_elsewhere)
        response_header(request, "X-Nunatak-Local", "1");
    state = CGI_HEAD_WHOLE;
}

/* The end of a line, or of a part of one. */
static void line_feed(nk_request *request) {
    if (length > start && line[length - 1] == '\r')
        length--;
    uint32_t size = length - start;
    if (start && size && is_blank(line[start])) { /* it goes on: one space, and the rest */
        uint32_t text = start;
        while (text < length && is_blank(line[text]))
            text++;
        line[start] = ' ';
        memmove(line + start + 1, line + text, length - text);
        start = length = start + 1 + length - text;
        return;
    }
    if (start) {
        char first = line[start];
        length = start;
        whole_line(request);
        if (state != CGI_HEAD_OPEN)
            return;
        line[start] = first;
        memmove(line, line + start, size);
    }
    start = length = size;
    if (!size)
        end_of_block(request);
}

enum cgi_head cgi_head_take(nk_request *request, const char *from, uint64_t size, uint64_t *taken) {
    uint64_t i = 0;
    while (i < size && state == CGI_HEAD_OPEN) {
        char c = from[i++];
        if (c == '\n')
            line_feed(request);
        else if (length == LINE_MAX - 2)
            fail(request, "a header line of less than 16 KiB", line, length);
        else
            line[length++] = c;
    }
    *taken = i;
    return state;
}

void cgi_head_end(nk_request *request) {
    if (length)
        whole_line(request);
    if (state != CGI_HEAD_OPEN)
        return;
    if (length)
        fail(request, "an empty line after the header, before the program ends,", line, length);
    else
        fail(request, "a header such as \"Content-Type: text/plain\" and an empty line before the program ends",
                      NULL, 0);
}
