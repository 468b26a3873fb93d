/*
 * What requests/ offers: requests and their answers, on stacks of their own or as events, and what a handler waits for.
 * One section per file, in reading order.
 */
#ifndef REQUESTS_H
#define REQUESTS_H

#include "../rings/rings.h"

/* ---- fiber.c: one stack per request being handled ---- */
enum fiber_state {
    FIBER_FREE,
    FIBER_RUNS,
    FIBER_WAITS_BODY,
    FIBER_WAITS_CREDIT,
    FIBER_WAITS_TIME,
    FIBER_WAITS_UPSTREAM,
    FIBER_WAITS_DISK
};
struct fiber {
    void *stack; /* saved stack pointer */
    uint64_t wake_ns;
    uint32_t stream;
    enum fiber_state state;
    uint64_t *floor; /* the lowest word of a stack on the heap; NULL where a guard page lies below */
};
extern struct fiber fibers[NK_FIBER_COUNT];
extern struct fiber *current; /* NULL in main() and in the request loop */
extern unsigned sleepers;     /* fibers that wait for time */
struct fiber *fiber_free(void);
struct fiber *fiber_of(uint32_t stream);
bool fibers_begin(void (*run)(void), size_t stack_bytes);
void fiber_resume(struct fiber *fiber);
void fiber_wait(enum fiber_state why);
void fiber_switch(void **save, void *load); /* switch.S */

/* Who has threads beside the fibers sets these when it starts, before there is a request. */
struct thread_hooks {
    void (*pause)(void);                /* gives everybody else a turn, for PAUSE_NS at most; never NULL */
    uint64_t (*idle)(uint64_t next_ns); /* for the loop with nothing to do: lets threads run; when it must look again */
};
extern struct thread_hooks thread_hooks;
#define PAUSE_NS 1000000 /* 1 ms: short beside any wait for a client, long beside the way through the VMM */

/* ---- request.c: what the client sent ---- */

/* A record that outlived its place in the ring: a head that waits for a fiber, or body bytes nobody reads yet. */
struct chunk {
    struct chunk *next;
    uint32_t stream, used, length;
    uint16_t type, flags;
    char data[];
};

/* Lies in the middle of its fiber's memory: the stack grows down from it, head and response follow it, so that a small
 * request dirties one page. */
struct nk_request {
    uint32_t stream;
    bool complete;   /* the last body byte has arrived */
    bool aborted;    /* the client is gone */
    bool body_begun; /* header fields are closed */
    bool head_sent;
    char *head_end;      /* of head and inline body */
    const char *body;    /* bytes to read next: inline, or in the ring; NULL while the inline body is not located */
    size_t body_left;
    struct chunk *first, *last; /* body bytes after those */
    uint32_t consumed;          /* bytes read and not yet credited */
    uint32_t window;            /* bytes that may be sent without more credit */
    uint32_t out_length, out_size; /* bytes in `out`, and room there */
    char *out, *larger;            /* larger: on the heap, for a head that needs it */
    size_t size; /* of this block, the next two too only where requests are events */
    struct nk_request *next_open, *next_fresh;
    char head[];
};
#define REQUEST_OFFSET 0x9800                      /* mid-page: stack and request share their first page */
#define REQUEST_HEAD_MAX (NK_RECORD_PAYLOAD_MAX + 8) /* and zeros that end any walk */
#define RESPONSE_SIZE 8192
#define RESPONSE_SIZE_MAX NK_HEAD_MAX /* of a head that needs it, and of what joins it */

static inline struct nk_request *fiber_request(const struct fiber *fiber) {
    return (struct nk_request *)(NK_FIBER_ADDRESS + (uintptr_t)(fiber - fibers) * NK_FIBER_STRIDE + REQUEST_OFFSET);
}

/* Who answers requests before the program hears of them: assets/, where the image has some. */
struct early_answers {
    void (*begin)(void);               /* the image is complete; NULL: nobody looks */
    bool (*take)(nk_request *request); /* whether it is answered, or will be by `push`; NULL: none is */
    void (*push)(void);                /* goes on with those, where requests are events */
};
extern struct early_answers early_answers;
void requests_begin(void);
bool request_is_taken(nk_request *request);

extern bool requests_are_events; /* nobody waits here: what would have to says NK_WOULD_WAIT */
void request_begin(struct nk_request *request, const struct record *head);
void request_end(struct nk_request *request);
void request_append(struct nk_request *request, struct chunk *chunk);
struct chunk *chunk_of(const struct record *record);
const char *request_var(nk_request *request, const char *name);
bool request_next_var(nk_request *request, const char **name, const char **value);
ptrdiff_t request_read(nk_request *request, void *to, size_t size);
ptrdiff_t request_gather(nk_request *request, size_t max);

/* ---- response.c: what it gets ---- */
void response_begin(struct nk_request *request);
void response_end(struct nk_request *request);
int response_status(nk_request *request, int code);
int response_header(nk_request *request, const char *name, const char *value);
int response_write(nk_request *request, const void *data, size_t size);
int response_flush(nk_request *request);
void response_push(nk_request *request);
int response_restart(nk_request *request);
void response_abort(nk_request *request);
int response_printf(nk_request *request, const char *format, ...);

/* ---- backlog.c: requests without a fiber ---- */
bool backlog_waits(void);
bool backlog_has(uint32_t stream);
void backlog_keep(const struct record *record);
void backlog_drop(uint32_t stream);
uint32_t backlog_begin(struct nk_request *request);

/* ---- serve.c: the request loop ---- */
int serve(nk_handler *handler);
int serve_on(nk_handler *handler, size_t stack_bytes);

/* ---- disk.c: one operation on a disk, waited for or not ---- */
void disk_collect(void);
int disk_find(const char *name);
bool disk_about(int disk, struct nk_disk_about *about);
ptrdiff_t disk_read(int disk, void *to, size_t size, uint64_t offset);
ptrdiff_t disk_write(int disk, const void *from, size_t size, uint64_t offset);
int disk_flush(int disk);
int disk_append(int disk, const void *record, size_t size);
int disk_submit(int op, int disk, void *buffer, size_t size, uint64_t offset);
int disk_poll(int32_t *result);
int disk_read_begin(int disk, void *to, size_t size, uint64_t offset);
bool disk_read_done(int number, int32_t *result);

/* ---- upstream.c: requests of our own ---- */
void upstream_take(const struct record *record);
nk_upstream *upstream_open(const char *method, const char *url, const char *fields, bool body);
ptrdiff_t upstream_write(nk_upstream *upstream, const void *data, size_t size, bool last);
int upstream_status(nk_upstream *upstream);
bool upstream_next_field(nk_upstream *upstream, const char **name, const char **value);
ptrdiff_t upstream_read(nk_upstream *upstream, void *to, size_t size);
const char *upstream_error(nk_upstream *upstream);
void upstream_close(nk_upstream *upstream);

/* ---- events.c: requests without a stack of their own ---- */
void event_base(void);
void event_begin(void);
nk_request *event_next(void);
void event_wait(uint64_t mono_ns);
ptrdiff_t event_write(nk_request *request, const void *data, size_t size);
bool event_gone(nk_request *request);
void event_end(nk_request *request, bool complete);
void event_owes(bool owes);

/* ---- sockets.c: what clients of WebSockets get ---- */
void socket_send(uint32_t socket, int kind, const void *data, size_t size, bool last);

/* ---- text.c: query strings, HTML, JSON ---- */
ptrdiff_t text_query(nk_request *request, const char *name, char *to, size_t size);
int text_html(nk_request *request, const char *text);
int text_json(nk_request *request, const char *text);

/* ---- sleep.c, log.c ---- */
int sleep_until(uint64_t mono_ns);
void log_line(const char *format, ...);

#endif
