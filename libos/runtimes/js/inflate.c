/* gzip and deflate taken apart with zlib: a state is given input and asked for output, a piece at a time, so that a small
 * input costs no more memory than is asked for. */
#include "host.h"
#include "zlib.h"

#define PIECE (64 << 10) /* bytes of output at a time */

static JSClassID class_id;

struct inflater {
    z_stream stream;
    uint8_t *input; /* what is not taken yet lies at its end */
    bool gzip, begun, ended;
};

static void discard(struct inflater *state) {
    if (state->begun)
        inflateEnd(&state->stream);
    free(state->input);
    free(state);
}

static void finalize(JSRuntime *runtime, JSValueConst value) {
    (void)runtime;
    struct inflater *state = JS_GetOpaque(value, class_id);
    if (state)
        discard(state);
}

/* inflater(gzip) */
static JSValue inflater(JSContext *ctx, JSValueConst self, int count, JSValueConst *arguments) {
    (void)self, (void)count;
    struct inflater *state = calloc(1, sizeof *state);
    JSValue result = JS_NewObjectClass(ctx, (int)class_id);
    if (!state || JS_IsException(result)) {
        free(state);
        JS_FreeValue(ctx, result);
        return JS_ThrowOutOfMemory(ctx);
    }
    state->gzip = JS_ToBool(ctx, arguments[0]);
    JS_SetOpaque(result, state);
    return result;
}

/* Keeps a copy of the input behind what is left of the one before; false without memory. */
static bool add(struct inflater *state, const uint8_t *data, size_t size) {
    size_t left = state->stream.avail_in;
    uint8_t *input = malloc(left + size + 1);
    if (!input)
        return false;
    if (left)
        memcpy(input, state->stream.next_in, left);
    memcpy(input + left, data, size);
    free(state->input);
    state->input = state->stream.next_in = input;
    state->stream.avail_in = (unsigned)(left + size);
    return true;
}

/* "deflate" is the zlib format (RFC 9110, section 8.4.1.2); some servers send it without its frame. */
static int begin(struct inflater *state) {
    const uint8_t *at = state->stream.next_in;
    bool framed = state->stream.avail_in < 2 || ((at[0] & 15) == 8 && (at[0] << 8 | at[1]) % 31 == 0);
    state->begun = true;
    return inflateInit2(&state->stream, state->gzip ? 16 + MAX_WBITS : framed ? MAX_WBITS : -MAX_WBITS);
}

/* inflate(state, bytes or null) -> an ArrayBuffer, undefined: more input is needed, null: all is out; throws where it is
 * none of that coding. */
static JSValue inflate_some(JSContext *ctx, JSValueConst self, int count, JSValueConst *arguments) {
    (void)self, (void)count;
    static uint8_t out[PIECE];
    size_t size;
    struct inflater *state = JS_GetOpaque2(ctx, arguments[0], class_id);
    if (!state)
        return JS_EXCEPTION;
    uint8_t *data = JS_IsNull(arguments[1]) ? NULL : JS_GetArrayBuffer(ctx, &size, arguments[1]);
    if (data && !add(state, data, size))
        return JS_ThrowOutOfMemory(ctx);
    z_stream *stream = &state->stream;
    if (state->ended && state->gzip && stream->avail_in) { /* another member (RFC 1952, section 2.2) */
        inflateReset(stream);
        state->ended = false;
    }
    if (state->ended)
        return JS_NULL;
    if (!stream->avail_in)
        return JS_UNDEFINED;
    if (!state->begun && begin(state) != Z_OK)
        return JS_ThrowOutOfMemory(ctx);
    stream->next_out = out;
    stream->avail_out = sizeof out;
    int how = inflate(stream, Z_NO_FLUSH);
    state->ended = how == Z_STREAM_END;
    if (how != Z_OK && how != Z_STREAM_END && how != Z_BUF_ERROR)
        return JS_ThrowTypeError(ctx, "a compressed body expected: %s", stream->msg ? stream->msg : "no memory for it");
    size = sizeof out - stream->avail_out;
    return size ? JS_NewArrayBufferCopy(ctx, out, size) : state->ended && !stream->avail_in ? JS_NULL : JS_UNDEFINED;
}

void inflate_begin(JSContext *ctx, JSValue nk) {
    static const JSClassDef class = {"inflater", .finalizer = finalize};
    static const JSCFunctionListEntry functions[] = {
        JS_CFUNC_DEF("inflater", 1, inflater),
        JS_CFUNC_DEF("inflate", 2, inflate_some),
    };
    JS_NewClassID(JS_GetRuntime(ctx), &class_id);
    JS_NewClass(JS_GetRuntime(ctx), class_id, &class);
    JS_SetPropertyFunctionList(ctx, nk, functions, sizeof functions / sizeof *functions);
}
