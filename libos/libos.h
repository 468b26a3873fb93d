/*
 * What the libOS's files know of each other. One section per file, in reading order; README.md draws the address map.
 */
#ifndef LIBOS_H
#define LIBOS_H

#include "include/nunatak.h"

#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define ALIGN_UP(value, to) (((value) + (to) - 1) & ~((uintptr_t)(to) - 1))

/*
 * ---- hypercalls: `out` to a port, arguments in RDI and RSI, result in RAX ----
 * The jump ends the basic block: an emulating engine leaves the guest only there.
 */
#define HYPERCALL(port, first, second)                                                                             \
    ({                                                                                                             \
        int64_t result = 0;                                                                                        \
        __asm__ volatile("outb %%al, %1\n\tjmp 1f\n1:"                                                             \
                         : "+a"(result)                                                                            \
                         : "i"(port), "D"((uint64_t)(first)), "S"((uint64_t)(second))                              \
                         : "memory");                                                                              \
        result;                                                                                                    \
    })

/* ---- boot.c ---- */
_Noreturn void panic(const char *why);

/* ---- console.c ---- */
void console_put(const char *text, size_t length);
void console_line(const char *line);

/* ---- gate.c: records in and out ---- */
struct record {
    uint16_t type, flags;
    uint32_t stream, length;
    const char *payload; /* in the ring; good until gate_release() */
};
bool gate_next(struct record *record);
void gate_release(const struct record *record);
void *gate_reserve(uint16_t type, uint16_t flags, uint32_t stream, uint32_t length);
void gate_commit(void);
void gate_send(uint16_t type, uint16_t flags, uint32_t stream, const void *payload, uint32_t length);
void gate_credit(uint32_t stream, uint32_t bytes);

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
};
extern struct fiber fibers[NK_FIBER_COUNT];
extern struct fiber *current; /* NULL in main() and in the request loop */
extern unsigned sleepers;     /* fibers that wait for time */
struct fiber *fiber_free(void);
struct fiber *fiber_of(uint32_t stream);
void fiber_resume(struct fiber *fiber);
void fiber_wait(enum fiber_state why);

/* ---- serve.c: the request loop ---- */
int serve(nk_handler *handler);
void serve_fiber(void);

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
    uint32_t out_length;        /* bytes in `out` */
    char *out;
    size_t size; /* of this block, the next two too only where requests are events */
    struct nk_request *next_open, *next_fresh;
    char head[];
};
#define REQUEST_OFFSET 0x9800                      /* mid-page: stack and request share their first page */
#define REQUEST_HEAD_MAX (NK_RECORD_PAYLOAD_MAX + 8) /* and zeros that end any walk */
#define RESPONSE_SIZE 8192

static inline struct nk_request *fiber_request(const struct fiber *fiber) {
    return (struct nk_request *)(NK_FIBER_ADDRESS + (uintptr_t)(fiber - fibers) * NK_FIBER_STRIDE + REQUEST_OFFSET);
}

void request_begin(struct nk_request *request, const struct record *head);
void request_end(struct nk_request *request);
void request_append(struct nk_request *request, struct chunk *chunk);
struct chunk *chunk_of(const struct record *record);
const char *request_var(nk_request *request, const char *name);
bool request_next_var(nk_request *request, const char **name, const char **value);
ptrdiff_t request_read(nk_request *request, void *to, size_t size);

/* ---- linux/: unmodified static Linux programs; linux/linux.h has what its files know of each other ---- */
_Noreturn void linux_start(void);
void *memory_pages(size_t size);
uint64_t thread_idle(uint64_t next_ns);
void thread_pause(void);
int rom_file(const char *path, const void **data, size_t *size);

/* ---- events.c: requests without a stack of their own ---- */
extern bool event_mode;
void event_base(void);
void event_begin(void);
nk_request *event_next(void);
void event_wait(uint64_t mono_ns);
ptrdiff_t event_write(nk_request *request, const void *data, size_t size);
bool event_gone(nk_request *request);
void event_end(nk_request *request, bool complete);

/* ---- linux/memory.c ---- */
void memory_resize(void);

/* ---- backlog.c: requests without a fiber ---- */
bool backlog_waits(void);
bool backlog_has(uint32_t stream);
void backlog_keep(const struct record *record);
void backlog_drop(uint32_t stream);
uint32_t backlog_begin(struct nk_request *request);

/* ---- response.c: what it gets ---- */
void response_begin(struct nk_request *request);
void response_end(struct nk_request *request);
int response_status(nk_request *request, int code);
int response_header(nk_request *request, const char *name, const char *value);
int response_write(nk_request *request, const void *data, size_t size);
int response_flush(nk_request *request);
int response_printf(nk_request *request, const char *format, ...);

/* ---- upstream.c: requests of our own ---- */
void upstream_take(const struct record *record);
nk_upstream *upstream_open(const char *method, const char *url, const char *fields, bool body);
ptrdiff_t upstream_write(nk_upstream *upstream, const void *data, size_t size, bool last);
int upstream_status(nk_upstream *upstream);
bool upstream_next_field(nk_upstream *upstream, const char **name, const char **value);
ptrdiff_t upstream_read(nk_upstream *upstream, void *to, size_t size);
const char *upstream_error(nk_upstream *upstream);
void upstream_close(nk_upstream *upstream);

/* ---- text.c: query strings, HTML, JSON ---- */
ptrdiff_t text_query(nk_request *request, const char *name, char *to, size_t size);
int text_html(nk_request *request, const char *text);
int text_json(nk_request *request, const char *text);

/* ---- format.c ---- */
struct sink {
    char *at, *end;
    bool (*full)(struct sink *sink); /* makes room and returns true; NULL or false: the rest is only counted */
    void *owner;
};
int format_to(struct sink *sink, const char *format, va_list arguments);
int format_buffer(char *to, size_t size, const char *format, ...);
int format_buffer_v(char *to, size_t size, const char *format, va_list arguments);

/* ---- string.c: also memcpy and its family ---- */
size_t printable_span(const char *text);
size_t span_until(const char *text, char stop);

/* ---- disk.c ---- */
void disk_collect(void);
int disk_find(const char *name);
bool disk_about(int disk, struct nk_disk_about *about);
ptrdiff_t disk_read(int disk, void *to, size_t size, uint64_t offset);
ptrdiff_t disk_write(int disk, const void *from, size_t size, uint64_t offset);
int disk_flush(int disk);
int disk_append(int disk, const void *record, size_t size);
int disk_submit(int op, int disk, void *buffer, size_t size, uint64_t offset);
int disk_poll(int32_t *result);

/* ---- env.c, log.c, malloc.c, random.c, time.c ---- */
const char *env_value(const char *name);
const char *env_next(const char *entry);
void log_line(const char *format, ...);
void *heap_alloc(size_t size);
void *heap_zeroed(size_t count, size_t size);
void *heap_resize(void *block, size_t size);
void heap_free(void *block);
bool random_ready(void);
void random_bytes(void *to, size_t size);
void random_fill(void *to, size_t size); /* never waits: before there is entropy, the same bytes in every image */
int time_sleep_until(uint64_t mono_ns);
void time_refresh(void);

#endif
