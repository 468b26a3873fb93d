/* Ed25519 (RFC 8032) and X25519 (RFC 7748) by BoringSSL, in constant time. Keys are their 32 bytes. */
#include <openssl/curve25519.h>
#include <openssl/mem.h>

#include "subtle.h"

#define KEY_SIZE 32

static int type_of(JSContext *ctx, JSValueConst name) {
    const char *text = JS_ToCString(ctx, name);
    int type = text && !strcmp(text, "Ed25519") ? EVP_PKEY_ED25519 : EVP_PKEY_X25519;
    JS_FreeCString(ctx, text);
    return type;
}

/* okpPart(name, DER, private) -> the key's bytes; null: no such key */
static JSValue okp_part(JSContext *ctx, JSValueConst self, int count, JSValueConst *arguments) {
    (void)self, (void)count;
    uint8_t out[KEY_SIZE];
    size_t size = sizeof out;
    bool private = JS_ToBool(ctx, arguments[2]);
    EVP_PKEY *key = subtle_key(subtle_piece(ctx, arguments[1]), private, type_of(ctx, arguments[0]));
    bool good = key && (private ? EVP_PKEY_get_raw_private_key(key, out, &size) : EVP_PKEY_get_raw_public_key(key, out, &size));
    JSValue result = good ? subtle_bytes(ctx, out, size) : subtle_null();
    OPENSSL_cleanse(out, sizeof out);
    EVP_PKEY_free(key);
    return result;
}

/* okpDer(name, bytes, private) -> PKCS #8 or SPKI */
static JSValue okp_der(JSContext *ctx, JSValueConst self, int count, JSValueConst *arguments) {
    (void)self, (void)count;
    struct piece bytes = subtle_piece(ctx, arguments[1]);
    bool private = JS_ToBool(ctx, arguments[2]);
    int type = type_of(ctx, arguments[0]);
    EVP_PKEY *key = private ? EVP_PKEY_new_raw_private_key(type, NULL, bytes.data, bytes.size)
                            : EVP_PKEY_new_raw_public_key(type, NULL, bytes.data, bytes.size);
    return subtle_der(ctx, key, private);
}

/* okpPublic(name, private key) -> the public key */
static JSValue okp_public(JSContext *ctx, JSValueConst self, int count, JSValueConst *arguments) {
    (void)self, (void)count;
    struct piece key = subtle_piece(ctx, arguments[1]);
    uint8_t public[KEY_SIZE], whole[64];
    if (type_of(ctx, arguments[0]) == EVP_PKEY_ED25519)
        ED25519_keypair_from_seed(public, whole, key.data);
    else
        X25519_public_from_private(public, key.data);
    OPENSSL_cleanse(whole, sizeof whole);
    return subtle_bytes(ctx, public, sizeof public);
}

/* edSign(private key, data) -> ArrayBuffer */
static JSValue ed_sign(JSContext *ctx, JSValueConst self, int count, JSValueConst *arguments) {
    (void)self, (void)count;
    struct piece key = subtle_piece(ctx, arguments[0]), data = subtle_piece(ctx, arguments[1]);
    uint8_t public[KEY_SIZE], whole[64], proof[64];
    ED25519_keypair_from_seed(public, whole, key.data);
    bool good = ED25519_sign(proof, data.data, data.size, whole);
    OPENSSL_cleanse(whole, sizeof whole);
    return good ? subtle_bytes(ctx, proof, sizeof proof) : subtle_null();
}

/* edVerify(public key, signature, data) -> whether it is one */
static JSValue ed_verify(JSContext *ctx, JSValueConst self, int count, JSValueConst *arguments) {
    (void)self, (void)count;
    struct piece key = subtle_piece(ctx, arguments[0]), proof = subtle_piece(ctx, arguments[1]);
    struct piece data = subtle_piece(ctx, arguments[2]);
    return JS_NewBool(ctx, proof.size == 64 && ED25519_verify(data.data, data.size, proof.data, key.data));
}

/* xShared(private key, another's public key) -> ArrayBuffer; null: the other key is of small order */
static JSValue x_shared(JSContext *ctx, JSValueConst self, int count, JSValueConst *arguments) {
    (void)self, (void)count;
    struct piece ours = subtle_piece(ctx, arguments[0]), theirs = subtle_piece(ctx, arguments[1]);
    uint8_t out[KEY_SIZE];
    JSValue result = X25519(out, ours.data, theirs.data) ? subtle_bytes(ctx, out, sizeof out) : subtle_null();
    OPENSSL_cleanse(out, sizeof out);
    return result;
}

static const JSCFunctionListEntry functions[] = {
    JS_CFUNC_DEF("okpPart", 3, okp_part), JS_CFUNC_DEF("okpDer", 3, okp_der),     JS_CFUNC_DEF("okpPublic", 2, okp_public),
    JS_CFUNC_DEF("edSign", 2, ed_sign),   JS_CFUNC_DEF("edVerify", 3, ed_verify), JS_CFUNC_DEF("xShared", 2, x_shared),
};

void subtle_okp_begin(JSContext *ctx, JSValue nk) {
    JS_SetPropertyFunctionList(ctx, nk, functions, sizeof functions / sizeof *functions);
}
