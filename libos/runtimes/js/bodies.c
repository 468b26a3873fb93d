/* What bodies need that are read whole: where bytes are next in them, and how much memory the machine has. */
#include "host.h"

static const uint8_t *bytes_of(JSContext *ctx, JSValueConst value, size_t *size) {
    const uint8_t *data = JS_GetUint8Array(ctx, size, value);
    return data || JS_HasException(ctx) ? data : (const uint8_t *)"";
}

/* find(bytes, what, from) -> where those bytes are next, or -1 */
static JSValue find(JSContext *ctx, JSValueConst self, int count, JSValueConst *arguments) {
    (void)self, (void)count;
    size_t size = 0, length = 0;
    int64_t from = 0;
    const uint8_t *data = bytes_of(ctx, arguments[0], &size), *what = data ? bytes_of(ctx, arguments[1], &length) : NULL;
    JS_ToInt64(ctx, &from, arguments[2]);
    if (!data || !what)
        return JS_EXCEPTION;
    if (from < 0 || (size_t)from > size)
        return JS_NewInt32(ctx, -1);
    const uint8_t *found = memmem(data + from, size - (size_t)from, what, length);
    return JS_NewInt64(ctx, found ? found - data : -1);
}

/* memory() -> bytes of the machine */
static JSValue memory(JSContext *ctx, JSValueConst self, int count, JSValueConst *arguments) {
    (void)self, (void)count, (void)arguments;
    return JS_NewInt64(ctx, (int64_t)NK_INFO->memory_bytes);
}

void bodies_begin(JSContext *ctx, JSValue nk) {
    static const JSCFunctionListEntry functions[] = {JS_CFUNC_DEF("find", 3, find), JS_CFUNC_DEF("memory", 0, memory)};
    JS_SetPropertyFunctionList(ctx, nk, functions, sizeof functions / sizeof *functions);
}
