/* AES-CTR, AES-CBC, AES-GCM (NIST SP 800-38A and 38D) and AES-KW (RFC 3394) by BoringSSL, whose AES and GHASH in C are
 * bit-sliced: no key or text chooses an address or a branch, and a machine has no AES instructions to count on. */
#include <openssl/aes.h>
#include <openssl/cipher.h>
#include <openssl/mem.h>

#include "subtle.h"

#define BLOCK AES_BLOCK_SIZE

enum mode { CBC, CTR, GCM };

static const EVP_CIPHER *cipher_of(enum mode mode, size_t key_size) {
    static const EVP_CIPHER *(*const ciphers[3][3])(void) = {
        [CBC] = {EVP_aes_128_cbc, EVP_aes_192_cbc, EVP_aes_256_cbc},
        [CTR] = {EVP_aes_128_ctr, EVP_aes_192_ctr, EVP_aes_256_ctr},
        [GCM] = {EVP_aes_128_gcm, EVP_aes_192_gcm, EVP_aes_256_gcm},
    };
    return ciphers[mode][key_size / 8 - 2]();
}

/* A state for the key, without padding. False: no memory. */
static bool begin(EVP_CIPHER_CTX *state, enum mode mode, struct piece key, struct piece iv, bool encrypt) {
    EVP_CIPHER_CTX_init(state);
    return EVP_CipherInit_ex(state, cipher_of(mode, key.size), NULL, NULL, NULL, encrypt) &&
           (mode != GCM || EVP_CIPHER_CTX_ctrl(state, EVP_CTRL_AEAD_SET_IVLEN, (int)iv.size, NULL)) &&
           EVP_CipherInit_ex(state, NULL, NULL, key.data, iv.data, encrypt) && EVP_CIPHER_CTX_set_padding(state, 0);
}

static bool update(EVP_CIPHER_CTX *state, uint8_t *out, const uint8_t *in, size_t size) {
    int written;
    return !size || EVP_CipherUpdate(state, out, &written, in, (int)size);
}

/* Ends the state, and the result's bytes are `size` of `out` if all went well. */
static JSValue done(JSContext *ctx, EVP_CIPHER_CTX *state, bool good, uint8_t *out, size_t size) {
    EVP_CIPHER_CTX_cleanup(state);
    if (!good) {
        free(out);
        out = NULL;
    }
    return subtle_taken(ctx, out, size);
}

/* How many blocks there are before the counter's last `bits` bits are all 0 again; 2^62 for more than that. */
static uint64_t blocks_left(const uint8_t counter[BLOCK], int bits) {
    uint64_t left = 0;
    for (int n = 0; n < BLOCK; n++) {
        int counted = bits - (BLOCK - 1 - n) * 8;
        unsigned mask = counted >= 8 ? 255 : counted > 0 ? (1u << counted) - 1 : 0;
        if (left >> 54)
            return 1ull << 62;
        left = left << 8 | (~counter[n] & mask);
    }
    return left + 1;
}

static void clear_counted(uint8_t counter[BLOCK], int bits) {
    for (int n = BLOCK - 1; bits > 0; n--, bits -= 8)
        counter[n] &= bits >= 8 ? 0 : 255u << bits;
}

/* aesCtr(key, counter, bits of it that count, data) -> ArrayBuffer. There are not more blocks than the bits have values. */
static JSValue aes_ctr(JSContext *ctx, JSValueConst self, int count, JSValueConst *arguments) {
    (void)self, (void)count;
    struct piece key = subtle_piece(ctx, arguments[0]), start = subtle_piece(ctx, arguments[1]);
    struct piece data = subtle_piece(ctx, arguments[3]);
    uint8_t counter[BLOCK], *out = malloc(data.size + 1);
    int32_t bits = 0;
    JS_ToInt32(ctx, &bits, arguments[2]);
    memcpy(counter, start.data, BLOCK);
    uint64_t left = blocks_left(counter, bits);
    size_t first = left < (data.size + BLOCK - 1) / BLOCK ? left * BLOCK : data.size;
    EVP_CIPHER_CTX state;
    bool good = begin(&state, CTR, key, (struct piece){counter, BLOCK}, true) && out && update(&state, out, data.data, first);
    clear_counted(counter, bits);
    good = good && EVP_CipherInit_ex(&state, NULL, NULL, NULL, counter, true) &&
           update(&state, out + first, data.data + first, data.size - first);
    return done(ctx, &state, good, out, data.size);
}

/* aesCbcEncrypt(key, iv, data) -> ArrayBuffer, padded (PKCS #7) */
static JSValue cbc_encrypt(JSContext *ctx, JSValueConst self, int count, JSValueConst *arguments) {
    (void)self, (void)count;
    struct piece key = subtle_piece(ctx, arguments[0]), iv = subtle_piece(ctx, arguments[1]);
    struct piece data = subtle_piece(ctx, arguments[2]);
    size_t whole = data.size / BLOCK * BLOCK, rest = data.size - whole;
    uint8_t last[BLOCK], *out = malloc(whole + BLOCK);
    memcpy(last, data.data + whole, rest);
    memset(last + rest, (int)(BLOCK - rest), BLOCK - rest);
    EVP_CIPHER_CTX state;
    bool good = begin(&state, CBC, key, iv, true) && out && update(&state, out, data.data, whole) &&
                update(&state, out + whole, last, BLOCK);
    OPENSSL_cleanse(last, sizeof last);
    return done(ctx, &state, good, out, whole + BLOCK);
}

/* How many bytes of padding end these blocks, 1 to 16; 0 if they end otherwise. No byte decides when this is known. */
static unsigned padding(const uint8_t *last) {
    unsigned size = last[BLOCK - 1], wrong = (size - 1) & ~15u;
    for (unsigned n = 0; n < BLOCK; n++) {
        unsigned within = 0u - (n + 1 <= size);
        wrong |= within & (last[BLOCK - 1 - n] ^ size);
    }
    return wrong ? 0 : size;
}

/* aesCbcDecrypt(key, iv, data of whole blocks, one at least) -> ArrayBuffer, null: the padding is wrong */
static JSValue cbc_decrypt(JSContext *ctx, JSValueConst self, int count, JSValueConst *arguments) {
    (void)self, (void)count;
    struct piece key = subtle_piece(ctx, arguments[0]), iv = subtle_piece(ctx, arguments[1]);
    struct piece data = subtle_piece(ctx, arguments[2]);
    uint8_t *out = malloc(data.size);
    EVP_CIPHER_CTX state;
    bool good = begin(&state, CBC, key, iv, false) && out && update(&state, out, data.data, data.size);
    unsigned pad = good ? padding(out + data.size - BLOCK) : BLOCK;
    JSValue result = done(ctx, &state, good, out, data.size - pad);
    if (pad)
        return result;
    JS_FreeValue(ctx, result);
    return subtle_null();
}

/* aesGcm(key, iv, additional data, data, bytes of the tag, encrypt) -> ArrayBuffer; null: the tag is another */
static JSValue aes_gcm(JSContext *ctx, JSValueConst self, int count, JSValueConst *arguments) {
    (void)self, (void)count;
    struct piece key = subtle_piece(ctx, arguments[0]), iv = subtle_piece(ctx, arguments[1]);
    struct piece more = subtle_piece(ctx, arguments[2]), data = subtle_piece(ctx, arguments[3]);
    uint32_t tag_size = 0;
    bool encrypt = JS_ToBool(ctx, arguments[5]);
    JS_ToUint32(ctx, &tag_size, arguments[4]);
    size_t size = encrypt ? data.size : data.size - tag_size; /* of the text */
    uint8_t *out = malloc(size + BLOCK);
    int written = 0;
    EVP_CIPHER_CTX state;
    bool good = begin(&state, GCM, key, iv, encrypt) && out;
    if (good && !encrypt)
        good = EVP_CIPHER_CTX_ctrl(&state, EVP_CTRL_AEAD_SET_TAG, (int)tag_size, (void *)(data.data + size));
    good = good && update(&state, NULL, more.data, more.size) && update(&state, out, data.data, size);
    bool same = good && EVP_CipherFinal_ex(&state, out + size, &written);
    if (same && encrypt)
        good = EVP_CIPHER_CTX_ctrl(&state, EVP_CTRL_AEAD_GET_TAG, (int)tag_size, out + size);
    JSValue result = done(ctx, &state, good, out, encrypt ? size + tag_size : size);
    if (!good || same)
        return result;
    JS_FreeValue(ctx, result);
    return subtle_null();
}

/* aesKw(key, data, wrap) -> ArrayBuffer; null: the size is none that can be, or it was not wrapped by this key */
static JSValue aes_kw(JSContext *ctx, JSValueConst self, int count, JSValueConst *arguments) {
    (void)self, (void)count;
    struct piece key = subtle_piece(ctx, arguments[0]), data = subtle_piece(ctx, arguments[1]);
    bool wrap = JS_ToBool(ctx, arguments[2]);
    AES_KEY schedule;
    uint8_t *out = malloc(data.size + 8);
    if (!out)
        return JS_ThrowOutOfMemory(ctx);
    if (wrap)
        AES_set_encrypt_key(key.data, (unsigned)key.size * 8, &schedule);
    else
        AES_set_decrypt_key(key.data, (unsigned)key.size * 8, &schedule);
    int size = wrap ? AES_wrap_key(&schedule, NULL, out, data.data, data.size) : AES_unwrap_key(&schedule, NULL, out, data.data, data.size);
    OPENSSL_cleanse(&schedule, sizeof schedule);
    JSValue result = subtle_taken(ctx, out, size > 0 ? (size_t)size : 0);
    if (size > 0)
        return result;
    JS_FreeValue(ctx, result);
    return subtle_null();
}

static const JSCFunctionListEntry functions[] = {
    JS_CFUNC_DEF("aesCtr", 4, aes_ctr),
    JS_CFUNC_DEF("aesCbcEncrypt", 3, cbc_encrypt),
    JS_CFUNC_DEF("aesCbcDecrypt", 3, cbc_decrypt),
    JS_CFUNC_DEF("aesGcm", 6, aes_gcm),
    JS_CFUNC_DEF("aesKw", 3, aes_kw),
};

void subtle_aes_begin(JSContext *ctx, JSValue nk) {
    JS_SetPropertyFunctionList(ctx, nk, functions, sizeof functions / sizeof *functions);
}
