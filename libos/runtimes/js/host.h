/* What the files of the JavaScript runtime know of each other. */
#ifndef HOST_H
#define HOST_H

#include <nunatak.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "quickjs.h"

/* bridge.c: what the prelude finds as `__nk` */
void bridge_begin(JSContext *ctx, JSValue global);
void bridge_show_error(JSContext *ctx, const char *what, JSValue error);
/* Bytes of an ArrayBuffer or of a view; NULL with an exception for anything else. */
const uint8_t *bridge_bytes(JSContext *ctx, JSValueConst value, size_t *size);
JSValue array_of(JSContext *ctx, int count, const JSValue *values); /* takes them; an exception if one of them is */
extern bool serving; /* false while the image is made: no clock, no randomness, no timers, no requests */

/* parts.c: scripts as bytecode of the engine, and tables of text; bytecode.py writes the lists, and a name of NULL ends them */
struct script {
    const char *name;
    uint8_t *code;
    size_t size;
};
extern const struct script preludes[], parts[], tables[];
JSValue script_run(JSContext *ctx, const struct script *script);
void parts_begin(JSContext *ctx, JSValue nk);

/* main.c */
extern bool making_base; /* until the base image is complete */
bool run_jobs(void); /* those of promises, until none is left: whether there were any */

/* headers.c */
void headers_begin(JSContext *ctx, JSValue nk);
JSValue headers_copy(JSContext *ctx, nk_request *request); /* for nk.fields() */

/* modules.c */
void modules_begin(JSContext *ctx, JSValue lookup); /* takes the function */

/* compress.c */
void compress_begin(JSContext *ctx, JSValue nk);

/* inflate.c */
void inflate_begin(JSContext *ctx, JSValue nk);

/* url.c */
struct url_parts {
    int name_end, host_end, path_end; /* offsets from the URL's start; the host has the port */
};
void url_begin(JSContext *ctx, JSValue nk);
bool url_parts(const char *url, size_t size, size_t scheme_size, size_t host_size, struct url_parts *parts);

/* utf8.c */
void utf8_begin(JSContext *ctx, JSValue nk);
void utf8_whole(uint8_t *text, size_t size); /* halves of pairs, as the engine writes them, become U+FFFD */

/* digest.c */
size_t digest(const char *name, const uint8_t *data, size_t size, uint8_t out[64]);

/* bodies.c */
void bodies_begin(JSContext *ctx, JSValue nk);

/* sockets.c */
void sockets_begin(JSContext *ctx, JSValue nk);

/* subtle.c */
void subtle_begin(JSContext *ctx, JSValue nk);

#endif
