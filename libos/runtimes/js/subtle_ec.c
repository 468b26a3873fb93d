/* ECDSA and ECDH on P-256, P-384 and P-521 by BoringSSL, in constant time. A public key is its point, uncompressed, a private one
 * its number, both as long as the curve has it; BoringSSL takes no point that is not on the curve. */
#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/ec_key.h>
#include <openssl/ecdh.h>
#include <openssl/ecdsa.h>
#include <openssl/mem.h>

#include "subtle.h"

#define SCALAR_MAX 66
#define POINT_MAX (1 + 2 * SCALAR_MAX)

/* A key of the curve with nothing in it; NULL for a curve that is not known. */
static EC_KEY *on_curve(JSContext *ctx, JSValueConst name) {
    const char *text = JS_ToCString(ctx, name);
    const EC_GROUP *group = !text                     ? NULL
                            : !strcmp(text, "P-256") ? EC_group_p256()
                            : !strcmp(text, "P-384") ? EC_group_p384()
                            : !strcmp(text, "P-521") ? EC_group_p521()
                                                     : NULL;
    EC_KEY *key = group ? EC_KEY_new() : NULL;
    JS_FreeCString(ctx, text);
    if (key)
        EC_KEY_set_group(key, group);
    return key;
}

static size_t scalar_size(const EC_KEY *key) {
    return BN_num_bytes(EC_GROUP_get0_order(EC_KEY_get0_group(key)));
}

/* Takes a key that another was given for; NULL with it freed. */
static EC_KEY *kept_if(bool good, EC_KEY *key) {
    if (good)
        return key;
    EC_KEY_free(key);
    return NULL;
}

static EC_KEY *public_key(JSContext *ctx, JSValueConst curve, JSValueConst point) {
    struct piece piece = subtle_piece(ctx, point);
    EC_KEY *key = on_curve(ctx, curve);
    return kept_if(key && EC_KEY_oct2key(key, piece.data, piece.size, NULL), key);
}

static EC_KEY *private_key(JSContext *ctx, JSValueConst curve, JSValueConst scalar) {
    struct piece piece = subtle_piece(ctx, scalar);
    EC_KEY *key = on_curve(ctx, curve);
    return kept_if(key && EC_KEY_oct2priv(key, piece.data, piece.size), key);
}

/* Both halves, which must belong together. */
static EC_KEY *pair(JSContext *ctx, JSValueConst curve, JSValueConst point, JSValueConst scalar) {
    struct piece piece = subtle_piece(ctx, scalar);
    EC_KEY *key = public_key(ctx, curve, point);
    return kept_if(key && EC_KEY_oct2priv(key, piece.data, piece.size) && EC_KEY_check_key(key), key);
}

/* [point] or [point, number], ArrayBuffers; null for no key. Takes it. */
static JSValue halves(JSContext *ctx, EC_KEY *key, bool private) {
    if (!key)
        return subtle_null();
    uint8_t point[POINT_MAX], scalar[SCALAR_MAX];
    size_t size = EC_POINT_point2oct(EC_KEY_get0_group(key), EC_KEY_get0_public_key(key), POINT_CONVERSION_UNCOMPRESSED, point,
                                     sizeof point, NULL);
    JSValue values[2] = {subtle_bytes(ctx, point, size)};
    if (private)
        values[1] = subtle_bytes(ctx, scalar, EC_KEY_priv2oct(key, scalar, sizeof scalar));
    OPENSSL_cleanse(scalar, sizeof scalar);
    EC_KEY_free(key);
    return array_of(ctx, private ? 2 : 1, values);
}

/* ecPoint(curve, point in any of its encodings) -> [point]; null: none of this curve's, or the one at infinity */
static JSValue ec_point(JSContext *ctx, JSValueConst self, int count, JSValueConst *arguments) {
    (void)self, (void)count;
    return halves(ctx, public_key(ctx, arguments[0], arguments[1]), false);
}

/* ecPair(curve, point, number) -> whether the point is the number's */
static JSValue ec_pair(JSContext *ctx, JSValueConst self, int count, JSValueConst *arguments) {
    (void)self, (void)count;
    EC_KEY *key = pair(ctx, arguments[0], arguments[1], arguments[2]);
    bool good = key != NULL;
    EC_KEY_free(key);
    subtle_null();
    return JS_NewBool(ctx, good);
}

/* ecParts(curve, DER, private) -> [point] of SPKI, [point, number] of PKCS #8; null: no key of this curve */
static JSValue ec_parts(JSContext *ctx, JSValueConst self, int count, JSValueConst *arguments) {
    (void)self, (void)count;
    bool private = JS_ToBool(ctx, arguments[2]);
    EVP_PKEY *found = subtle_key(subtle_piece(ctx, arguments[1]), private, EVP_PKEY_EC);
    EC_KEY *wanted = on_curve(ctx, arguments[0]), *key = found ? EVP_PKEY_get1_EC_KEY(found) : NULL;
    bool same = wanted && key && !EC_GROUP_cmp(EC_KEY_get0_group(wanted), EC_KEY_get0_group(key), NULL);
    EC_KEY_free(wanted);
    EVP_PKEY_free(found);
    return halves(ctx, kept_if(same, key), private);
}

/* ecDer(curve, point, number or undefined) -> PKCS #8 or SPKI */
static JSValue ec_der(JSContext *ctx, JSValueConst self, int count, JSValueConst *arguments) {
    (void)self, (void)count;
    bool private = !JS_IsUndefined(arguments[2]);
    EC_KEY *ec = private ? pair(ctx, arguments[0], arguments[1], arguments[2]) : public_key(ctx, arguments[0], arguments[1]);
    EVP_PKEY *key = ec ? EVP_PKEY_new() : NULL;
    if (key)
        EVP_PKEY_assign_EC_KEY(key, ec);
    return subtle_der(ctx, key, private);
}

/* ecGenerate(curve) -> [point, number] */
static JSValue ec_generate(JSContext *ctx, JSValueConst self, int count, JSValueConst *arguments) {
    (void)self, (void)count;
    EC_KEY *key = on_curve(ctx, arguments[0]);
    return halves(ctx, kept_if(key && EC_KEY_generate_key(key), key), true);
}

static bool digested(JSContext *ctx, JSValueConst name, JSValueConst message, uint8_t *out, unsigned *size) {
    struct piece data = subtle_piece(ctx, message);
    const EVP_MD *hash = subtle_hash(ctx, name);
    return hash && EVP_Digest(data.data, data.size, out, size, hash, NULL);
}

/* ecSign(curve, hash, number, data) -> r and s, as long as the curve's order (IEEE P1363); null: no memory */
static JSValue ec_sign(JSContext *ctx, JSValueConst self, int count, JSValueConst *arguments) {
    (void)self, (void)count;
    uint8_t digest[EVP_MAX_MD_SIZE], out[2 * SCALAR_MAX];
    unsigned size;
    if (!digested(ctx, arguments[1], arguments[3], digest, &size))
        return JS_EXCEPTION;
    EC_KEY *key = private_key(ctx, arguments[0], arguments[2]);
    ECDSA_SIG *proof = key ? ECDSA_do_sign(digest, size, key) : NULL;
    size_t half = key ? scalar_size(key) : 0;
    bool good = proof && BN_bn2bin_padded(out, half, ECDSA_SIG_get0_r(proof)) &&
                BN_bn2bin_padded(out + half, half, ECDSA_SIG_get0_s(proof));
    ECDSA_SIG_free(proof);
    EC_KEY_free(key);
    return good ? subtle_bytes(ctx, out, 2 * half) : subtle_null();
}

/* ecVerify(curve, hash, point, signature, data) -> whether it is one */
static JSValue ec_verify(JSContext *ctx, JSValueConst self, int count, JSValueConst *arguments) {
    (void)self, (void)count;
    struct piece bytes = subtle_piece(ctx, arguments[3]);
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned size;
    if (!digested(ctx, arguments[1], arguments[4], digest, &size))
        return JS_EXCEPTION;
    EC_KEY *key = public_key(ctx, arguments[0], arguments[2]);
    ECDSA_SIG *proof = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(bytes.data, bytes.size / 2, NULL), *s = BN_bin2bn(bytes.data + bytes.size / 2, bytes.size / 2, NULL);
    bool good = key && proof && r && s && bytes.size == 2 * scalar_size(key) && ECDSA_SIG_set0(proof, r, s);
    if (good)
        good = ECDSA_do_verify(digest, size, proof, key);
    else
        BN_free(r), BN_free(s);
    ECDSA_SIG_free(proof);
    EC_KEY_free(key);
    subtle_null();
    return JS_NewBool(ctx, good);
}

/* ecShared(curve, number, another's point) -> the shared point's x; null: no such keys */
static JSValue ec_shared(JSContext *ctx, JSValueConst self, int count, JSValueConst *arguments) {
    (void)self, (void)count;
    EC_KEY *ours = private_key(ctx, arguments[0], arguments[1]), *theirs = public_key(ctx, arguments[0], arguments[2]);
    uint8_t out[SCALAR_MAX];
    int size = ours && theirs ? ECDH_compute_key(out, sizeof out, EC_KEY_get0_public_key(theirs), ours, NULL) : -1;
    JSValue result = size > 0 ? subtle_bytes(ctx, out, (size_t)size) : subtle_null();
    OPENSSL_cleanse(out, sizeof out);
    EC_KEY_free(ours);
    EC_KEY_free(theirs);
    return result;
}

static const JSCFunctionListEntry functions[] = {
    JS_CFUNC_DEF("ecPoint", 2, ec_point), JS_CFUNC_DEF("ecPair", 3, ec_pair),         JS_CFUNC_DEF("ecParts", 3, ec_parts),
    JS_CFUNC_DEF("ecDer", 3, ec_der),     JS_CFUNC_DEF("ecGenerate", 1, ec_generate), JS_CFUNC_DEF("ecSign", 4, ec_sign),
    JS_CFUNC_DEF("ecVerify", 5, ec_verify), JS_CFUNC_DEF("ecShared", 3, ec_shared),
};

void subtle_ec_begin(JSContext *ctx, JSValue nk) {
    JS_SetPropertyFunctionList(ctx, nk, functions, sizeof functions / sizeof *functions);
}
