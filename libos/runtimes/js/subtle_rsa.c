/* RSA by BoringSSL: PKCS #1 v1.5 and PSS signatures, OAEP (RFC 8017). A private key is its PKCS #8, a public one its SPKI, both
 * DER; it is read anew for each operation, so that no copy of a machine begins with another's blinding. BoringSSL blinds
 * private operations, raises to secret powers in constant time, and checks what it has signed. */
#include <openssl/bn.h>
#include <openssl/mem.h>
#include <openssl/rsa.h>

#include "subtle.h"

static EVP_PKEY *key_of(JSContext *ctx, JSValueConst der, bool private) {
    return subtle_key(subtle_piece(ctx, der), private, EVP_PKEY_RSA);
}

/* DER of a key; null for none. Takes it. */
static JSValue der_of(JSContext *ctx, RSA *rsa, bool private) {
    EVP_PKEY *key = rsa ? EVP_PKEY_new() : NULL;
    if (key)
        EVP_PKEY_assign_RSA(key, rsa);
    return subtle_der(ctx, key, private);
}

static JSValue number(JSContext *ctx, const BIGNUM *value) {
    size_t size = BN_num_bytes(value);
    uint8_t *bytes = malloc(size + 1);
    if (bytes)
        BN_bn2bin(value, bytes);
    return subtle_taken(ctx, bytes, size);
}

/* rsaParts(DER, private) -> null, [n, e] or [n, e, d, p, q, dp, dq, qi], ArrayBuffers without leading zeros */
static JSValue rsa_parts(JSContext *ctx, JSValueConst self, int count, JSValueConst *arguments) {
    (void)self, (void)count;
    bool private = JS_ToBool(ctx, arguments[1]);
    EVP_PKEY *key = key_of(ctx, arguments[0], private);
    if (!key)
        return subtle_null();
    const RSA *rsa = EVP_PKEY_get0_RSA(key);
    const BIGNUM *parts[] = {RSA_get0_n(rsa), RSA_get0_e(rsa),    RSA_get0_d(rsa),    RSA_get0_p(rsa),
                             RSA_get0_q(rsa), RSA_get0_dmp1(rsa), RSA_get0_dmq1(rsa), RSA_get0_iqmp(rsa)};
    JSValue values[8];
    int size = private ? 8 : 2;
    for (int n = 0; n < size; n++)
        values[n] = number(ctx, parts[n]);
    EVP_PKEY_free(key);
    return array_of(ctx, size, values);
}

/* rsaKey([n, e] or [n, e, d, p, q, dp, dq, qi]) -> DER; null: they are no key */
static JSValue rsa_key(JSContext *ctx, JSValueConst self, int count, JSValueConst *arguments) {
    (void)self, (void)count;
    BIGNUM *parts[8] = {0};
    int64_t size = 0;
    JS_GetLength(ctx, arguments[0], &size);
    for (uint32_t n = 0; n < size && n < 8; n++) {
        JSValue value = JS_GetPropertyUint32(ctx, arguments[0], n);
        struct piece piece = subtle_piece(ctx, value);
        parts[n] = BN_bin2bn(piece.data, piece.size, NULL);
        JS_FreeValue(ctx, value);
    }
    bool private = size == 8;
    RSA *rsa = private ? RSA_new_private_key(parts[0], parts[1], parts[2], parts[3], parts[4], parts[5], parts[6], parts[7])
                       : RSA_new_public_key(parts[0], parts[1]);
    for (int n = 0; n < 8; n++)
        BN_free(parts[n]); /* which wipes it */
    return der_of(ctx, rsa, private);
}

/* rsaGenerate(bits, public exponent) -> PKCS #8; null: there is no such key */
static JSValue rsa_generate(JSContext *ctx, JSValueConst self, int count, JSValueConst *arguments) {
    (void)self, (void)count;
    struct piece exponent = subtle_piece(ctx, arguments[1]);
    int32_t bits = 0;
    JS_ToInt32(ctx, &bits, arguments[0]);
    RSA *rsa = RSA_new();
    BIGNUM *e = BN_bin2bn(exponent.data, exponent.size, NULL);
    if (rsa && !(e && RSA_generate_key_ex(rsa, bits, e, NULL))) {
        RSA_free(rsa);
        rsa = NULL;
    }
    BN_free(e);
    return der_of(ctx, rsa, true);
}

/* A message's digest, or no digest where there is no memory for one. */
struct digested {
    const EVP_MD *hash;
    uint8_t bytes[EVP_MAX_MD_SIZE];
    unsigned size;
};

static bool digested(JSContext *ctx, JSValueConst name, JSValueConst message, struct digested *out) {
    struct piece data = subtle_piece(ctx, message);
    out->hash = subtle_hash(ctx, name);
    return out->hash && EVP_Digest(data.data, data.size, out->bytes, &out->size, out->hash, NULL);
}

/* rsaSign(PKCS #8, hash, bytes of PSS's salt or -1 for PKCS #1 v1.5, data) -> ArrayBuffer; null: the key is too small */
static JSValue rsa_sign(JSContext *ctx, JSValueConst self, int count, JSValueConst *arguments) {
    (void)self, (void)count;
    struct digested digest;
    int32_t salt = 0;
    if (!digested(ctx, arguments[1], arguments[3], &digest))
        return JS_EXCEPTION;
    JS_ToInt32(ctx, &salt, arguments[2]);
    EVP_PKEY *key = key_of(ctx, arguments[0], true);
    RSA *rsa = key ? EVP_PKEY_get0_RSA(key) : NULL;
    size_t room = rsa ? RSA_size(rsa) : 0, size = 0;
    uint8_t *out = malloc(room + 1);
    unsigned written = 0;
    bool good = rsa && out;
    if (good && salt < 0)
        good = RSA_sign(EVP_MD_type(digest.hash), digest.bytes, digest.size, out, &written, rsa), size = written;
    else if (good)
        good = RSA_sign_pss_mgf1(rsa, &size, out, room, digest.bytes, digest.size, digest.hash, digest.hash, salt);
    JSValue result = good ? subtle_bytes(ctx, out, size) : subtle_null();
    free(out);
    EVP_PKEY_free(key);
    return result;
}

/* rsaVerify(SPKI, hash, bytes of PSS's salt or -1, signature, data) -> whether it is one */
static JSValue rsa_verify(JSContext *ctx, JSValueConst self, int count, JSValueConst *arguments) {
    (void)self, (void)count;
    struct piece proof = subtle_piece(ctx, arguments[3]);
    struct digested digest;
    int32_t salt = 0;
    if (!digested(ctx, arguments[1], arguments[4], &digest))
        return JS_EXCEPTION;
    JS_ToInt32(ctx, &salt, arguments[2]);
    EVP_PKEY *key = key_of(ctx, arguments[0], false);
    RSA *rsa = key ? EVP_PKEY_get0_RSA(key) : NULL;
    bool good = false;
    if (rsa && salt < 0)
        good = RSA_verify(EVP_MD_type(digest.hash), digest.bytes, digest.size, proof.data, proof.size, rsa);
    else if (rsa && proof.size == RSA_size(rsa))
        good = RSA_verify_pss_mgf1(rsa, digest.bytes, digest.size, digest.hash, digest.hash, salt, proof.data, proof.size);
    EVP_PKEY_free(key);
    subtle_null();
    return JS_NewBool(ctx, good);
}

/* A state for OAEP with this hash and label; NULL: no memory. */
static EVP_PKEY_CTX *oaep_begin(EVP_PKEY *key, const EVP_MD *hash, struct piece label, bool encrypt) {
    EVP_PKEY_CTX *state = EVP_PKEY_CTX_new(key, NULL);
    uint8_t *copy = OPENSSL_memdup(label.data, label.size); /* the state's own, then */
    bool good = state && (copy || !label.size) && (encrypt ? EVP_PKEY_encrypt_init(state) : EVP_PKEY_decrypt_init(state)) &&
                EVP_PKEY_CTX_set_rsa_padding(state, RSA_PKCS1_OAEP_PADDING) && EVP_PKEY_CTX_set_rsa_oaep_md(state, hash) &&
                EVP_PKEY_CTX_set_rsa_mgf1_md(state, hash) && EVP_PKEY_CTX_set0_rsa_oaep_label(state, copy, label.size);
    if (good)
        return state;
    OPENSSL_free(copy);
    EVP_PKEY_CTX_free(state);
    return NULL;
}

/* rsaOaep(DER, hash, label, data, encrypt) -> ArrayBuffer; null: too long to encrypt, or not what was encrypted */
static JSValue rsa_oaep(JSContext *ctx, JSValueConst self, int count, JSValueConst *arguments) {
    (void)self, (void)count;
    const EVP_MD *hash = subtle_hash(ctx, arguments[1]);
    struct piece data = subtle_piece(ctx, arguments[3]);
    bool encrypt = JS_ToBool(ctx, arguments[4]);
    if (!hash)
        return JS_EXCEPTION;
    EVP_PKEY *key = key_of(ctx, arguments[0], !encrypt);
    EVP_PKEY_CTX *state = key ? oaep_begin(key, hash, subtle_piece(ctx, arguments[2]), encrypt) : NULL;
    size_t size = key ? (size_t)EVP_PKEY_size(key) : 0;
    uint8_t *out = malloc(size + 1);
    bool good = state && out &&
                (encrypt ? EVP_PKEY_encrypt(state, out, &size, data.data, data.size)
                         : EVP_PKEY_decrypt(state, out, &size, data.data, data.size));
    JSValue result = good ? subtle_bytes(ctx, out, size) : subtle_null();
    if (good)
        OPENSSL_cleanse(out, size);
    free(out);
    EVP_PKEY_CTX_free(state);
    EVP_PKEY_free(key);
    return result;
}

static const JSCFunctionListEntry functions[] = {
    JS_CFUNC_DEF("rsaParts", 2, rsa_parts), JS_CFUNC_DEF("rsaKey", 1, rsa_key),       JS_CFUNC_DEF("rsaGenerate", 2, rsa_generate),
    JS_CFUNC_DEF("rsaSign", 4, rsa_sign),   JS_CFUNC_DEF("rsaVerify", 5, rsa_verify), JS_CFUNC_DEF("rsaOaep", 5, rsa_oaep),
};

void subtle_rsa_begin(JSContext *ctx, JSValue nk) {
    JS_SetPropertyFunctionList(ctx, nk, functions, sizeof functions / sizeof *functions);
}
