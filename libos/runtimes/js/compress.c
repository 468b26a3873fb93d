/* gzip, deflate and deflate-raw with zlib, both ways, for CompressionStream and DecompressionStream: a state is asked for
 * output, a piece at a time, and looks at the chunk that it is given until nothing more comes of it.
 *
 * A state that compresses has 262 KiB (32 KiB of window, 15 bits of hash, 16,384 symbols), one that decompresses 40 KiB; it has
 * none of it before its first chunk and after its end. */
#include "host.h"
#include "zlib.h"

#define PIECE (32 << 10) /* bytes of output at a time */
#define HEADER 16        /* bytes before what zlib asked for, which say how many that are */
#define MEMORY_LEVEL 8   /* zlib's default */

static JSClassID class_id;

struct coder {
    z_stream stream;
    size_t taken;   /* bytes of the chunk that is looked at */
    int window;     /* as zlib says which format it is */
    bool compress, begun, ended;
};

/* zlib's memory, zero when it is given back: a parked machine's record keeps nothing of a stream that has ended. */
static void *take(void *opaque, unsigned count, unsigned size) {
    (void)opaque;
    size_t bytes = (size_t)count * size, *at = malloc(HEADER + bytes);
    if (!at)
        return NULL;
    *at = bytes;
    return (char *)at + HEADER;
}

static void give_back(void *opaque, void *memory) {
    (void)opaque;
    size_t *at = (void *)((char *)memory - HEADER);
    memset(memory, 0, *at);
    free(at);
}

static void stop(struct coder *coder) {
    if (coder->begun)
        (coder->compress ? deflateEnd : inflateEnd)(&coder->stream);
    coder->begun = false;
}

static void finalize(JSRuntime *runtime, JSValueConst value) {
    (void)runtime;
    struct coder *coder = JS_GetOpaque(value, class_id);
    if (coder)
        stop(coder);
    free(coder);
}

/* coder(format, compress) -> a state; undefined: no such format */
static JSValue new_coder(JSContext *ctx, JSValueConst self, int count, JSValueConst *arguments) {
    (void)self, (void)count;
    const char *format = JS_ToCString(ctx, arguments[0]);
    int window = !format                            ? 0
                 : !strcmp(format, "gzip")        ? 16 + MAX_WBITS
                 : !strcmp(format, "deflate")     ? MAX_WBITS
                 : !strcmp(format, "deflate-raw") ? -MAX_WBITS
                                                  : 0;
    JS_FreeCString(ctx, format);
    if (!window)
        return format ? JS_UNDEFINED : JS_EXCEPTION;
    struct coder *coder = calloc(1, sizeof *coder);
    JSValue result = JS_NewObjectClass(ctx, (int)class_id);
    if (!coder || JS_IsException(result)) {
        free(coder);
        JS_FreeValue(ctx, result);
        return JS_ThrowOutOfMemory(ctx);
    }
    *coder = (struct coder){.window = window, .compress = JS_ToBool(ctx, arguments[1])};
    coder->stream.zalloc = take;
    coder->stream.zfree = give_back;
    JS_SetOpaque(result, coder);
    return result;
}

static bool begin(struct coder *coder) {
    if (!coder->begun)
        coder->begun = (coder->compress ? deflateInit2(&coder->stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, coder->window,
                                                       MEMORY_LEVEL, Z_DEFAULT_STRATEGY)
                                        : inflateInit2(&coder->stream, coder->window)) == Z_OK;
    return coder->begun;
}

/* [output or null, whether there is more of this chunk] */
static JSValue given(JSContext *ctx, const uint8_t *out, size_t size, bool more) {
    JSValue values[] = {size ? JS_NewArrayBufferCopy(ctx, out, size) : JS_NULL, JS_NewBool(ctx, more)};
    return array_of(ctx, 2, values);
}

/* coded(state, chunk, last) -> [an ArrayBuffer or null, whether the same chunk is to be given again]. Throws where bytes are
 * none of the format, end too early or do not end where it does. */
static JSValue coded(JSContext *ctx, JSValueConst self, int count, JSValueConst *arguments) {
    (void)self, (void)count;
    struct coder *coder = JS_GetOpaque2(ctx, arguments[0], class_id);
    size_t size = 0;
    const uint8_t *chunk = coder ? JS_GetUint8Array(ctx, &size, arguments[1]) : NULL;
    bool last = JS_ToBool(ctx, arguments[2]);
    if (!coder || (!chunk && size))
        return JS_EXCEPTION;
    size_t taken = coder->taken < size ? coder->taken : size; /* a worker may have made the chunk shorter */
    coder->taken = 0;
    if (coder->ended)
        return taken < size ? JS_ThrowTypeError(ctx, "Trailing bytes after the end of the compressed data") : given(ctx, NULL, 0, false);
    if (!begin(coder))
        return JS_ThrowOutOfMemory(ctx);
    uint8_t out[PIECE];
    z_stream *stream = &coder->stream;
    stream->next_in = chunk ? chunk + taken : out;
    stream->avail_in = (unsigned)(size - taken);
    stream->next_out = out;
    stream->avail_out = sizeof out;
    int how = coder->compress ? deflate(stream, last ? Z_FINISH : Z_NO_FLUSH) : inflate(stream, Z_NO_FLUSH);
    size_t made = sizeof out - stream->avail_out, left = stream->avail_in;
    coder->ended = how == Z_STREAM_END;
    if (how == Z_MEM_ERROR)
        return JS_ThrowOutOfMemory(ctx);
    if (how != Z_OK && how != Z_STREAM_END && how != Z_BUF_ERROR)
        return JS_ThrowTypeError(ctx, "The compressed data was not valid: %s", stream->msg ? stream->msg : "a dictionary is asked for");
    if (coder->ended)
        stop(coder);
    if (!made && coder->ended && left)
        return JS_ThrowTypeError(ctx, "Trailing bytes after the end of the compressed data");
    bool more = left || (!coder->ended && !stream->avail_out);
    if (last && !more && !coder->ended)
        return JS_ThrowTypeError(ctx, "The compressed data was truncated");
    coder->taken = more ? size - left : 0;
    return given(ctx, out, made, more);
}

void compress_begin(JSContext *ctx, JSValue nk) {
    static const JSClassDef class = {"coder", .finalizer = finalize};
    static const JSCFunctionListEntry functions[] = {JS_CFUNC_DEF("coder", 2, new_coder), JS_CFUNC_DEF("coded", 3, coded)};
    JS_NewClassID(JS_GetRuntime(ctx), &class_id);
    JS_NewClass(JS_GetRuntime(ctx), class_id, &class);
    JS_SetPropertyFunctionList(ctx, nk, functions, sizeof functions / sizeof *functions);
}
