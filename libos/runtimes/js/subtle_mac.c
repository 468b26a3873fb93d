/* HMAC (RFC 2104) and PBKDF2 (RFC 8018, section 5.2). HKDF is a few calls of HMAC: the prelude makes them. */
#include "subtle.h"

/* The two hashes of HMAC, each with its padded key taken in. */
struct hmac {
    void *inner, *outer;
};

static void hmac_end(const struct hash *hash, struct hmac *mac) {
    if (mac->inner)
        hash->stop(mac->inner);
    if (mac->outer)
        hash->stop(mac->outer);
}

static bool hmac_begin(const struct hash *hash, struct piece key, struct hmac *mac) {
    uint8_t pad[128] = {0};
    *mac = (struct hmac){0};
    if (key.size > hash->block ? !hash_of(hash, 1, &key, pad) : false)
        return false;
    if (key.size <= hash->block)
        memcpy(pad, key.data, key.size);
    bool good = !hash->begin(&mac->inner) && !hash->begin(&mac->outer);
    for (size_t n = 0; n < hash->block; n++)
        pad[n] ^= 0x36;
    good = good && !hash->add(mac->inner, pad, hash->block);
    for (size_t n = 0; n < hash->block; n++)
        pad[n] ^= 0x36 ^ 0x5c;
    good = good && !hash->add(mac->outer, pad, hash->block);
    subtle_wipe(pad, sizeof pad);
    if (!good)
        hmac_end(hash, mac);
    return good;
}

static bool hmac_of(const struct hash *hash, struct piece key, size_t count, const struct piece *pieces, uint8_t *out) {
    struct hmac mac;
    if (!hmac_begin(hash, key, &mac))
        return false;
    bool good = true;
    for (size_t n = 0; n < count; n++)
        good = good && !(pieces[n].size && hash->add(mac.inner, pieces[n].data, pieces[n].size));
    good = good && !hash->end(mac.inner, out) && !hash->add(mac.outer, out, hash->size) && !hash->end(mac.outer, out);
    hmac_end(hash, &mac);
    return good;
}

/* hmac(hash, key, data) -> ArrayBuffer */
static JSValue hmac(JSContext *ctx, JSValueConst self, int count, JSValueConst *arguments) {
    (void)self, (void)count;
    const struct hash *hash = subtle_hash(ctx, arguments[0]);
    struct piece data = subtle_piece(ctx, arguments[2]);
    uint8_t out[HASH_BYTES_MAX];
    if (!hash)
        return JS_EXCEPTION;
    if (!hmac_of(hash, subtle_piece(ctx, arguments[1]), 1, &data, out))
        return subtle_no_memory(ctx);
    return subtle_bytes(ctx, out, hash->size);
}

/* The block `number`, from 1, of what a password gives. */
static bool pbkdf2_block(const struct hash *hash, struct piece password, struct piece salt, uint32_t iterations,
                         uint32_t number, uint8_t *out) {
    uint8_t first[HASH_BYTES_MAX], index[4] = {number >> 24, number >> 16 & 255, number >> 8 & 255, number & 255};
    struct piece pieces[] = {salt, {index, sizeof index}};
    struct hmac mac;
    if (!hmac_of(hash, password, 2, pieces, first) || !hmac_begin(hash, password, &mac))
        return false;
    bool good = !hash->rounds(mac.inner, mac.outer, first, out, iterations);
    hmac_end(hash, &mac);
    subtle_wipe(first, sizeof first);
    return good;
}

/* pbkdf2(hash, password, salt, iterations, bytes) -> ArrayBuffer */
static JSValue pbkdf2(JSContext *ctx, JSValueConst self, int count, JSValueConst *arguments) {
    (void)self, (void)count;
    const struct hash *hash = subtle_hash(ctx, arguments[0]);
    struct piece password = subtle_piece(ctx, arguments[1]), salt = subtle_piece(ctx, arguments[2]);
    uint32_t iterations = 0, size = 0;
    if (!hash || JS_ToUint32(ctx, &iterations, arguments[3]) || JS_ToUint32(ctx, &size, arguments[4]))
        return JS_EXCEPTION;
    uint8_t *out = malloc((size_t)size + HASH_BYTES_MAX);
    bool good = out != NULL;
    for (size_t at = 0, number = 1; good && at < size; at += hash->size, number++)
        good = pbkdf2_block(hash, password, salt, iterations, (uint32_t)number, out + at);
    JSValue result = good ? subtle_bytes(ctx, out, size) : subtle_no_memory(ctx);
    if (out)
        subtle_wipe(out, size);
    free(out);
    return result;
}

static const JSCFunctionListEntry functions[] = {JS_CFUNC_DEF("hmac", 3, hmac), JS_CFUNC_DEF("pbkdf2", 5, pbkdf2)};

void subtle_mac_begin(JSContext *ctx, JSValue nk) {
    JS_SetPropertyFunctionList(ctx, nk, functions, sizeof functions / sizeof *functions);
}
