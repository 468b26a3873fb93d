/* HMAC (RFC 2104), PBKDF2 (RFC 8018, section 5.2) and HKDF (RFC 5869) by BoringSSL. */
#include <openssl/hkdf.h>
#include <openssl/hmac.h>

#include "subtle.h"

/* hmac(hash, key, data) -> ArrayBuffer */
static JSValue hmac(JSContext *ctx, JSValueConst self, int count, JSValueConst *arguments) {
    (void)self, (void)count;
    const EVP_MD *hash = subtle_hash(ctx, arguments[0]);
    struct piece key = subtle_piece(ctx, arguments[1]), data = subtle_piece(ctx, arguments[2]);
    uint8_t out[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    if (!hash)
        return JS_EXCEPTION;
    if (!HMAC(hash, key.data, key.size, data.data, data.size, out, &size))
        return JS_ThrowOutOfMemory(ctx);
    return subtle_bytes(ctx, out, size);
}

/* pbkdf2(hash, password, salt, iterations, bytes) -> ArrayBuffer */
static JSValue pbkdf2(JSContext *ctx, JSValueConst self, int count, JSValueConst *arguments) {
    (void)self, (void)count;
    const EVP_MD *hash = subtle_hash(ctx, arguments[0]);
    struct piece password = subtle_piece(ctx, arguments[1]), salt = subtle_piece(ctx, arguments[2]);
    uint32_t iterations = 0, size = 0;
    if (!hash || JS_ToUint32(ctx, &iterations, arguments[3]) || JS_ToUint32(ctx, &size, arguments[4]))
        return JS_EXCEPTION;
    uint8_t *out = malloc((size_t)size + 1);
    if (out && size &&
        !PKCS5_PBKDF2_HMAC((const char *)password.data, password.size, salt.data, salt.size, iterations, hash, size, out)) {
        free(out);
        return JS_ThrowOutOfMemory(ctx);
    }
    return subtle_taken(ctx, out, size);
}

/* hkdf(hash, secret, salt, info, bytes) -> ArrayBuffer; null: more than 255 digests */
static JSValue hkdf(JSContext *ctx, JSValueConst self, int count, JSValueConst *arguments) {
    (void)self, (void)count;
    const EVP_MD *hash = subtle_hash(ctx, arguments[0]);
    struct piece secret = subtle_piece(ctx, arguments[1]), salt = subtle_piece(ctx, arguments[2]);
    struct piece info = subtle_piece(ctx, arguments[3]);
    uint32_t size = 0;
    if (!hash || JS_ToUint32(ctx, &size, arguments[4]))
        return JS_EXCEPTION;
    uint8_t *out = malloc((size_t)size + 1);
    if (out && !HKDF(out, size, hash, secret.data, secret.size, salt.data, salt.size, info.data, info.size)) {
        free(out);
        return subtle_null();
    }
    return subtle_taken(ctx, out, size);
}

static const JSCFunctionListEntry functions[] = {
    JS_CFUNC_DEF("hmac", 3, hmac), JS_CFUNC_DEF("pbkdf2", 5, pbkdf2), JS_CFUNC_DEF("hkdf", 5, hkdf)};

void subtle_mac_begin(JSContext *ctx, JSValue nk) {
    JS_SetPropertyFunctionList(ctx, nk, functions, sizeof functions / sizeof *functions);
}
