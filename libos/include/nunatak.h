/*
 * What a program may call: one header, one table of functions at the libOS's fixed address, no system calls.
 *
 *     static void page(nk_request *request) { nk_printf(request, "hello from %s\n", nk_var(request, "PATH_INFO")); }
 *     int main(void) { return nk_serve(page); }
 *
 * main() runs once, when the image is built; the image is the memory as nk_serve() found it. From then on the handler
 * runs once per request, each on its own fiber (FIBER_COUNT at once, 34 KiB of stack unless nk_stack_bytes says
 * more). Fibers change only inside the calls marked "waits", so a handler needs no locks. Functions that can fail return
 * -1, or NULL for pointers. Times are nanoseconds. Text is UTF-8.
 */
#ifndef NUNATAK_H
#define NUNATAK_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "layout.h"

/* What nk_disk_about() tells. */
struct nk_disk_about {
    uint64_t bytes;
    uint32_t kind;
    const char *name;
};
#define NK_DISK_INVALID (-22) /* errno EINVAL */
#define NK_DISK_FULL (-11)    /* errno EAGAIN: DISK_SLOTS requests are under way */

#define NK_TABLE_MAGIC 0x4F4C4B4E /* "NKLO" */
#define NK_TABLE_VERSION 1        /* functions are only ever added, at the end */

typedef struct nk_request nk_request;
typedef struct nk_upstream nk_upstream;
typedef void nk_handler(nk_request *request);

struct nk_table {
    uint32_t magic, version;

    /* string.c; first, because crt.S knows their places */
    void *(*memcpy)(void *to, const void *from, size_t size);
    void *(*memmove)(void *to, const void *from, size_t size);
    void *(*memset)(void *to, int byte, size_t size);
    int (*memcmp)(const void *a, const void *b, size_t size);
    size_t (*strlen)(const char *text);
    int (*strcmp)(const char *a, const char *b);
    int (*strncmp)(const char *a, const char *b, size_t size);
    char *(*strchr)(const char *text, int byte);

    int (*serve)(nk_handler *handler);
    void (*exit)(int code) __attribute__((noreturn));

    /* The request. */
    const char *(*var)(nk_request *request, const char *name);
    bool (*next_var)(nk_request *request, const char **name, const char **value);
    ptrdiff_t (*query)(nk_request *request, const char *name, char *to, size_t size);
    ptrdiff_t (*read)(nk_request *request, void *to, size_t size);

    /* The response. */
    int (*status)(nk_request *request, int code);
    int (*header)(nk_request *request, const char *name, const char *value);
    int (*write)(nk_request *request, const void *data, size_t size);
    int (*printf)(nk_request *request, const char *format, ...) __attribute__((format(printf, 2, 3)));
    int (*html)(nk_request *request, const char *text);
    int (*json)(nk_request *request, const char *text);
    int (*flush)(nk_request *request);

    /* The rest. */
    const char *(*env)(const char *name);
    const char *(*next_env)(const char *entry);
    void (*log)(const char *format, ...) __attribute__((format(printf, 1, 2)));
    void (*puts)(const char *line);
    int (*snprintf)(char *to, size_t size, const char *format, ...) __attribute__((format(printf, 3, 4)));
    int (*vsnprintf)(char *to, size_t size, const char *format, va_list arguments);
    void *(*malloc)(size_t size);
    void *(*calloc)(size_t count, size_t size);
    void *(*realloc)(void *block, size_t size);
    void (*free)(void *block);
    void (*random)(void *to, size_t size);
    int (*sleep_until)(uint64_t mono_ns);
    void (*refresh_clock)(void);
    int (*file)(const char *path, const void **data, size_t *size);

    /* Requests of our own. */
    nk_upstream *(*upstream_open)(const char *method, const char *url, const char *fields, bool body);
    ptrdiff_t (*upstream_write)(nk_upstream *upstream, const void *data, size_t size, bool last);
    int (*upstream_status)(nk_upstream *upstream);
    bool (*upstream_next_field)(nk_upstream *upstream, const char **name, const char **value);
    ptrdiff_t (*upstream_read)(nk_upstream *upstream, void *to, size_t size);
    const char *(*upstream_error)(nk_upstream *upstream);
    void (*upstream_close)(nk_upstream *upstream);

    /* Disks. */
    int (*disk)(const char *name);
    bool (*disk_about)(int disk, struct nk_disk_about *about);
    ptrdiff_t (*disk_read)(int disk, void *to, size_t size, uint64_t offset);
    ptrdiff_t (*disk_write)(int disk, const void *from, size_t size, uint64_t offset);
    int (*disk_flush)(int disk);
    int (*disk_append)(int disk, const void *record, size_t size);
    int (*disk_submit)(int op, int disk, void *buffer, size_t size, uint64_t offset);
    int (*disk_poll)(int32_t *result);

    /* Requests as events. */
    void (*event_base)(void);
    void (*event_begin)(void);
    nk_request *(*event_next)(void);
    void (*event_wait)(uint64_t mono_ns);
    ptrdiff_t (*event_write)(nk_request *request, const void *data, size_t size);
    bool (*event_gone)(nk_request *request);
    void (*event_end)(nk_request *request, bool complete);

    /* The response, once more; and events, once more. */
    int (*restart)(nk_request *request);
    void (*abort)(nk_request *request);
    void (*event_owes)(bool owes);

    /* Handlers with more stack. */
    int (*serve_on)(nk_handler *handler, size_t stack_bytes);

    /* WebSockets. */
    void (*socket_send)(uint32_t socket, int kind, const void *data, size_t size, bool last);
};

#define NK ((const struct nk_table *)NK_LIBOS_ADDRESS)

#if __STDC_HOSTED__ /* a C library is there: a static Linux program that calls the table */
#include <string.h>
#else
void *memcpy(void *restrict to, const void *restrict from, size_t size);
void *memmove(void *to, const void *from, size_t size);
void *memset(void *to, int byte, size_t size);
int memcmp(const void *a, const void *b, size_t size);
size_t strlen(const char *text);
int strcmp(const char *a, const char *b);
int strncmp(const char *a, const char *b, size_t size);
char *strchr(const char *text, int byte);

/* Freestanding code gets no built-in functions by itself; these let the compiler place small copies inline. */
#define memcpy(to, from, size) __builtin_memcpy(to, from, size)
#define memmove(to, from, size) __builtin_memmove(to, from, size)
#define memset(to, byte, size) __builtin_memset(to, byte, size)
#define strlen(text) __builtin_strlen(text)
#endif

/* The image ends here; then serves for ever. Handlers have stack_bytes of stack each, on the heap; 0: the usual 34 KiB. A
 * handler that needs more than it has is a crash. Returns -1 when already serving, or without memory for one stack. */
static inline int nk_serve_on(nk_handler *handler, size_t stack_bytes) { return NK->serve_on(handler, stack_bytes); }
#if __STDC_HOSTED__
static inline int nk_serve(nk_handler *handler) { return nk_serve_on(handler, 0); }
#else
/* What nk_serve() gives. A program, or a library in it, that needs more than the usual defines it (crt.c). */
extern const size_t nk_stack_bytes;
static inline int nk_serve(nk_handler *handler) { return nk_serve_on(handler, nk_stack_bytes); }
#endif
/* Ends the machine; the service starts again from its image. EXIT_NO_MEMORY tells the client 507, others 502. */
_Noreturn static inline void nk_exit(int code) { NK->exit(code); }

/* A CGI meta-variable (RFC 3875: REQUEST_METHOD, PATH_INFO, QUERY_STRING, HTTP_ACCEPT, ...) or NULL. Good until the
 * handler returns. */
static inline const char *nk_var(nk_request *request, const char *name) { return NK->var(request, name); }
/* All of them: start with *name NULL; false after the last. */
static inline bool nk_next_var(nk_request *request, const char **name, const char **value) {
    return NK->next_var(request, name, value);
}
/* One parameter of QUERY_STRING, percent-decoded and ended by NUL, cut to size. Its length; -1 if it is not there. */
static inline ptrdiff_t nk_query(nk_request *request, const char *name, char *to, size_t size) {
    return NK->query(request, name, to, size);
}
/* Some bytes of the request's body; 0 at its end, -1 when the client is gone. Waits. */
static inline ptrdiff_t nk_read(nk_request *request, void *to, size_t size) { return NK->read(request, to, size); }

/* 200 unless said otherwise. -1 once body bytes were written. */
static inline int nk_status(nk_request *request, int code) { return NK->status(request, code); }
/* -1 for an empty name, control characters, too many headers (64 KiB), or once body bytes were written. */
static inline int nk_header(nk_request *request, const char *name, const char *value) {
    return NK->header(request, name, value);
}
/* Body bytes. Up to 8 KiB with the headers leave as one record; more is streamed. -1 when the client is gone. Waits. */
static inline int nk_write(nk_request *request, const void *data, size_t size) {
    return NK->write(request, data, size);
}
/* %[-0][width][.precision][hh h l ll z j]{d i u x X c s p %}; no floating point. Waits. */
#define nk_printf(request, ...) (NK->printf((request), __VA_ARGS__))
/* Text as HTML text or attribute value. Waits. */
static inline int nk_html(nk_request *request, const char *text) { return NK->html(request, text); }
/* Text as a JSON string, quotes included. Waits. */
static inline int nk_json(nk_request *request, const char *text) { return NK->json(request, text); }
/* Forgets status, headers and body, where none of it has left: -1 where some has. */
static inline int nk_restart(nk_request *request) { return NK->restart(request); }
/* Gives the response up, in the middle or before: the client sees that it is not whole. */
static inline void nk_abort(nk_request *request) { NK->abort(request); }
/* Sends what is buffered now; before the machine sleeps it leaves by itself. Waits. */
static inline int nk_flush(nk_request *request) { return NK->flush(request); }

/* A value given with `nunatak build --env NAME=VALUE`, or NULL. */
static inline const char *nk_env(const char *name) { return NK->env(name); }
/* "NAME=VALUE" after `entry` (NULL: the first); NULL at the end. */
static inline const char *nk_next_env(const char *entry) { return NK->next_env(entry); }
/* A file of `nunatak build --files FOLDER`, in place: no copy. -1 if it is not there. */
static inline int nk_file(const char *path, const void **data, size_t *size) { return NK->file(path, data, size); }
/* One line (cut at 500 bytes) to the publisher's log; inside a handler it carries the request. */
#define nk_log(...) (NK->log(__VA_ARGS__))
/* One line on the machine's console. */
static inline void nk_puts(const char *line) { NK->puts(line); }
#define nk_snprintf(...) (NK->snprintf(__VA_ARGS__))
static inline int nk_vsnprintf(char *to, size_t size, const char *format, va_list arguments) {
    return NK->vsnprintf(to, size, format, arguments);
}

/* NULL when the memory is used up. Blocks are aligned to 16 bytes. */
static inline void *nk_malloc(size_t size) { return NK->malloc(size); }
static inline void *nk_calloc(size_t count, size_t size) { return NK->calloc(count, size); }
static inline void *nk_realloc(void *block, size_t size) { return NK->realloc(block, size); }
static inline void nk_free(void *block) { NK->free(block); }
/* Unpredictable bytes. The key is fresh after every restore and clone: two machines of one image never agree. Before
 * nk_serve() the image ends here, and each machine does the rest of main(). */
static inline void nk_random(void *to, size_t size) { NK->random(to, size); }

/* As of the last entry into the machine; a long computation calls nk_refresh_clock() first. */
static inline uint64_t nk_wall_ns(void) { return NK_INFO->wall_ns; }
static inline uint64_t nk_mono_ns(void) { return NK_INFO->mono_ns; }
static inline uint64_t nk_virtual_ns(void) { return NK_INFO->virtual_ns; }
static inline void nk_refresh_clock(void) { NK->refresh_clock(); }
/* Changes with every restore and clone of the machine; 0 while the image is built, unless with --bake-entropy. */
static inline uint64_t nk_generation(void) { return NK_INFO->generation; }
/* Returns at nk_mono_ns() >= mono_ns, other requests run meanwhile; -1 early when the client is gone. Waits. */
static inline int nk_sleep_until(uint64_t mono_ns) { return NK->sleep_until(mono_ns); }

/*
 * Requests of our own, to the origins named with `nunatak build --upstream`: open, write a body if there is one, ask for
 * the status, read, close. What waits lets other requests run; outside of a handler it returns NK_WOULD_WAIT instead.
 * -1 means that it failed, and nk_upstream_error() says why; redirects are answers like any other.
 *
 *     nk_upstream *upstream = nk_upstream_open("GET", "https://api.example/v1", NULL, false);
 *     if (upstream && nk_upstream_status(upstream) == 200)
 *         while ((size = nk_upstream_read(upstream, buffer, sizeof buffer)) > 0)
 *             nk_write(request, buffer, (size_t)size);
 *     nk_upstream_close(upstream);
 */
#define NK_WOULD_WAIT (-2)
/* `fields`: "name\0value\0" repeated, ended by "\0"; or NULL. With `body`, nk_upstream_write() follows. NULL: too many
 * (MAX_EXCHANGES), no memory, more than 16 KiB of fields, or while the image is built. */
static inline nk_upstream *nk_upstream_open(const char *method, const char *url, const char *fields, bool body) {
    return NK->upstream_open(method, url, fields, body);
}
/* Body bytes; with `last` the body ends. How many were taken: all, unless it would have to wait outside of a handler. */
static inline ptrdiff_t nk_upstream_write(nk_upstream *upstream, const void *data, size_t size, bool last) {
    return NK->upstream_write(upstream, data, size, last);
}
/* 100 to 599. Waits. */
static inline int nk_upstream_status(nk_upstream *upstream) { return NK->upstream_status(upstream); }
/* The answer's header fields once there is a status: start with *name NULL; false after the last. */
static inline bool nk_upstream_next_field(nk_upstream *upstream, const char **name, const char **value) {
    return NK->upstream_next_field(upstream, name, value);
}
/* Some bytes of the answer's body; 0 at its end. Waits. */
static inline ptrdiff_t nk_upstream_read(nk_upstream *upstream, void *to, size_t size) {
    return NK->upstream_read(upstream, to, size);
}
/* Why it failed, or NULL. */
static inline const char *nk_upstream_error(nk_upstream *upstream) { return NK->upstream_error(upstream); }
/* Always, also after a failure; what is under way is given up. NULL is fine. */
static inline void nk_upstream_close(nk_upstream *upstream) { NK->upstream_close(upstream); }

/* The disk of that name (`nunatak build --disk NAME=...`), or -1. Reading waits for the blocks that are not here yet;
 * in main() it finds the disk as it was published. Results of the calls below are negative errnos. */
static inline int nk_disk(const char *name) { return NK->disk(name); }
/* Its size in bytes, DISK_SHARED and so on, and its name; false when there is no such disk. */
static inline bool nk_disk_about(int disk, struct nk_disk_about *about) { return NK->disk_about(disk, about); }
/* Bytes read, fewer only at the end of the disk. Waits. */
static inline ptrdiff_t nk_disk_read(int disk, void *to, size_t size, uint64_t offset) {
    return NK->disk_read(disk, to, size, offset);
}
/* Whole pages to a cow or scratch disk. Waits. */
static inline ptrdiff_t nk_disk_write(int disk, const void *from, size_t size, uint64_t offset) {
    return NK->disk_write(disk, from, size, offset);
}
/* 0 when what was written or appended before would survive the end of this machine and of the edge. Waits. */
static inline int nk_disk_flush(int disk) { return NK->disk_flush(disk); }
/* One record, at most DISK_LENGTH_MAX bytes, to a log disk. Waits. */
static inline int nk_disk_append(int disk, const void *record, size_t size) {
    return NK->disk_append(disk, record, size);
}
/* For event loops: start DISK_READ and so on without waiting; a number, or -1 when DISK_SLOTS are under way. The buffer
 * belongs to the disk until nk_disk_poll() says the number and the result; -1 when nothing is complete. */
static inline int nk_disk_submit(int op, int disk, void *buffer, size_t size, uint64_t offset) {
    return NK->disk_submit(op, disk, buffer, size, offset);
}
static inline int nk_disk_poll(int32_t *result) { return NK->disk_poll(result); }

/*
 * Requests as events, for runtimes with an event loop of their own: nothing waits but nk_event_wait(), and nk_read() and
 * the nk_upstream functions return NK_WOULD_WAIT. A base image is made of a runtime that called nk_event_base(): it goes
 * on from there in each image that is derived, which finds its own files, settings and memory.
 */
static inline void nk_event_base(void) { NK->event_base(); }
/* In place of nk_serve(): the image ends here. */
static inline void nk_event_begin(void) { NK->event_begin(); }
/* A request that nobody has taken yet, or NULL; it lives until nk_event_end(). */
static inline nk_request *nk_event_next(void) { return NK->event_next(); }
/* Takes in what has come; sleeps when nothing had, until something does or nk_mono_ns() >= mono_ns. */
static inline void nk_event_wait(uint64_t mono_ns) { NK->event_wait(mono_ns); }
/* Body bytes, as many as may go now: how many, or -1 when the client is gone. */
static inline ptrdiff_t nk_event_write(nk_request *request, const void *data, size_t size) {
    return NK->event_write(request, data, size);
}
static inline bool nk_event_gone(nk_request *request) { return NK->event_gone(request); }
/* The response is complete, or is given up. */
static inline void nk_event_end(nk_request *request, bool complete) { NK->event_end(request, complete); }
/* Whether work is under way that outlives its request: the machine is parked a little later then. */
static inline void nk_event_owes(bool owes) { NK->event_owes(owes); }

/*
 * WebSockets. A request that asks for one has NUNATAK_SOCKET, its number; nk_status(request, 101) and the request's end
 * take it. What its client sends are then requests with the method SOCKET, one at a time: NUNATAK_EVENT is text, binary
 * (the body is the message), close or error (NUNATAK_CODE, NUNATAK_CLEAN, the body is the reason), or taken;
 * NUNATAK_TAKEN counts the bytes that the client has taken of those sent to it, and no more than STREAM_WINDOW may be
 * under way. With another NUNATAK_LINEAGE all sockets that were known before are gone.
 */
/* Text, binary bytes or a close {u16 code, reason}, SOCKET_*, to a socket's client; `last`: the message ends with it. */
static inline void nk_socket_send(uint32_t socket, int kind, const void *data, size_t size, bool last) {
    NK->socket_send(socket, kind, data, size, last);
}

#endif
