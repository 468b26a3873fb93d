/* crypto.subtle: how its parts in C get their arguments and give their results, and the list of the parts. */
#include <openssl/bytestring.h>
#include <openssl/err.h>
#include <openssl/mem.h>

#include "subtle.h"

struct piece subtle_piece(JSContext *ctx, JSValueConst value) {
    size_t size = 0;
    uint8_t *data = JS_GetUint8Array(ctx, &size, value);
    if (!data)
        JS_FreeValue(ctx, JS_GetException(ctx));
    return (struct piece){data ? data : (const uint8_t *)"", data ? size : 0};
}

const EVP_MD *subtle_hash(JSContext *ctx, JSValueConst name) {
    const char *text = JS_ToCString(ctx, name);
    const EVP_MD *hash = text ? hash_named(text) : NULL;
    if (text && !hash)
        JS_ThrowInternalError(ctx, "no hash %s", text);
    JS_FreeCString(ctx, text);
    return hash;
}

JSValue subtle_bytes(JSContext *ctx, const uint8_t *data, size_t size) {
    return JS_NewArrayBufferCopy(ctx, data, size);
}

JSValue subtle_taken(JSContext *ctx, uint8_t *data, size_t size) {
    JSValue result = data ? subtle_bytes(ctx, data, size) : JS_ThrowOutOfMemory(ctx);
    if (data)
        OPENSSL_cleanse(data, size);
    free(data);
    return result;
}

JSValue subtle_null(void) {
    ERR_clear_error();
    return JS_NULL;
}

EVP_PKEY *subtle_key(struct piece der, bool private, int type) {
    CBS in;
    CBS_init(&in, der.data, der.size);
    EVP_PKEY *key = private ? EVP_parse_private_key(&in) : EVP_parse_public_key(&in);
    if (key && !CBS_len(&in) && EVP_PKEY_id(key) == type)
        return key;
    EVP_PKEY_free(key);
    return NULL;
}

JSValue subtle_der(JSContext *ctx, EVP_PKEY *key, bool private) {
    CBB out;
    uint8_t *der = NULL;
    size_t size = 0;
    CBB_zero(&out);
    bool good = key && CBB_init(&out, 256) && (private ? EVP_marshal_private_key(&out, key) : EVP_marshal_public_key(&out, key)) &&
                CBB_finish(&out, &der, &size);
    JSValue result = good ? subtle_bytes(ctx, der, size) : subtle_null();
    CBB_cleanup(&out);
    OPENSSL_free(der); /* which wipes it */
    EVP_PKEY_free(key);
    return result;
}

/* same(a, b) -> whether the bytes are the same, in a time that only their sizes tell */
static JSValue same(JSContext *ctx, JSValueConst self, int count, JSValueConst *arguments) {
    (void)self, (void)count;
    struct piece a = subtle_piece(ctx, arguments[0]), b = subtle_piece(ctx, arguments[1]);
    return JS_NewBool(ctx, a.size == b.size && !CRYPTO_memcmp(a.data, b.data, a.size));
}

static const JSCFunctionListEntry functions[] = {JS_CFUNC_DEF("same", 2, same)};

void subtle_begin(JSContext *ctx, JSValue nk) {
    JS_SetPropertyFunctionList(ctx, nk, functions, sizeof functions / sizeof *functions);
    subtle_mac_begin(ctx, nk);
    subtle_aes_begin(ctx, nk);
    subtle_rsa_begin(ctx, nk);
    subtle_ec_begin(ctx, nk);
    subtle_okp_begin(ctx, nk);
}
