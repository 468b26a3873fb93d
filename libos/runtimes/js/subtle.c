/* crypto.subtle: how its parts in C get their arguments, and the list of the parts. */
#include "subtle.h"

struct piece subtle_piece(JSContext *ctx, JSValueConst value) {
    size_t size = 0;
    uint8_t *data = JS_GetUint8Array(ctx, &size, value);
    if (!data)
        JS_FreeValue(ctx, JS_GetException(ctx));
    return (struct piece){data ? data : (const uint8_t *)"", data ? size : 0};
}

const struct hash *subtle_hash(JSContext *ctx, JSValueConst name) {
    const char *text = JS_ToCString(ctx, name);
    const struct hash *hash = text ? hash_named(text) : NULL;
    if (text && !hash)
        JS_ThrowInternalError(ctx, "no hash %s", text);
    JS_FreeCString(ctx, text);
    return hash;
}

bool subtle_same(const uint8_t *a, const uint8_t *b, size_t size) {
    volatile uint8_t differs = 0;
    for (size_t n = 0; n < size; n++)
        differs |= a[n] ^ b[n];
    return !differs;
}

void subtle_wipe(void *secret, size_t size) {
    for (volatile uint8_t *at = secret; size--; at++)
        *at = 0;
}

JSValue subtle_bytes(JSContext *ctx, const uint8_t *data, size_t size) {
    return JS_NewArrayBufferCopy(ctx, data, size);
}

JSValue subtle_no_memory(JSContext *ctx) {
    return JS_ThrowOutOfMemory(ctx);
}

/* same(a, b) -> whether the bytes are the same; sizes are no secret. */
static JSValue same(JSContext *ctx, JSValueConst self, int count, JSValueConst *arguments) {
    (void)self, (void)count;
    struct piece a = subtle_piece(ctx, arguments[0]), b = subtle_piece(ctx, arguments[1]);
    return JS_NewBool(ctx, a.size == b.size && subtle_same(a.data, b.data, a.size));
}

static const JSCFunctionListEntry functions[] = {JS_CFUNC_DEF("same", 2, same)};

void subtle_begin(JSContext *ctx, JSValue nk) {
    JS_SetPropertyFunctionList(ctx, nk, functions, sizeof functions / sizeof *functions);
    subtle_mac_begin(ctx, nk);
    subtle_aes_begin(ctx, nk);
}
