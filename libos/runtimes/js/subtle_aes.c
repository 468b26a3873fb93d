/* AES-CTR, AES-CBC and AES-GCM (NIST SP 800-38A and 38D) over aes.c; GHASH is pycryptodome's. */
#include "aes.h"
#include "subtle.h"

int ghash_expand_portable(const uint8_t h[16], void **key);
int ghash_portable(uint8_t out[16], const uint8_t *blocks, size_t size, const uint8_t in[16], const void *key);
int ghash_destroy_portable(void *key);

#define LANES_BYTES (AES_LANES * AES_BLOCK)

/* Adds 1 to the counter's last `bits` bits. */
static void count_up(uint8_t counter[AES_BLOCK], int bits) {
    unsigned carry = 1;
    for (int at = AES_BLOCK - 1; at >= 0 && bits > 0; at--, bits -= 8) {
        unsigned mask = bits >= 8 ? 255 : (1u << bits) - 1, sum = (counter[at] & mask) + carry;
        counter[at] = (uint8_t)((counter[at] & ~mask) | (sum & mask));
        carry = sum > mask;
    }
}

static void ctr(const struct aes *aes, uint8_t counter[AES_BLOCK], int bits, const uint8_t *in, size_t size, uint8_t *out) {
    uint8_t stream[LANES_BYTES];
    for (size_t at = 0; at < size; at += LANES_BYTES) {
        for (int lane = 0; lane < AES_LANES; lane++) {
            memcpy(stream + lane * AES_BLOCK, counter, AES_BLOCK);
            count_up(counter, bits);
        }
        aes_encrypt(aes, stream);
        for (size_t n = 0; n < LANES_BYTES && at + n < size; n++)
            out[at + n] = in[at + n] ^ stream[n];
    }
}

static void one_block(const struct aes *aes, const uint8_t in[AES_BLOCK], uint8_t out[AES_BLOCK]) {
    uint8_t lanes[LANES_BYTES] = {0};
    memcpy(lanes, in, AES_BLOCK);
    aes_encrypt(aes, lanes);
    memcpy(out, lanes, AES_BLOCK);
}

/* Takes `size` bytes of result; an exception if there was no memory for them. */
static JSValue given(JSContext *ctx, uint8_t *out, size_t size, struct aes *aes) {
    JSValue result = out ? subtle_bytes(ctx, out, size) : subtle_no_memory(ctx);
    if (out)
        subtle_wipe(out, size);
    free(out);
    subtle_wipe(aes, sizeof *aes);
    return result;
}

static struct piece key_of(JSContext *ctx, JSValueConst value, struct aes *aes) {
    struct piece key = subtle_piece(ctx, value);
    aes_begin(aes, key.data, key.size);
    return key;
}

/* aesCtr(key, counter, bits of it that count, data) -> ArrayBuffer */
static JSValue aes_ctr(JSContext *ctx, JSValueConst self, int count, JSValueConst *arguments) {
    (void)self, (void)count;
    struct piece start = subtle_piece(ctx, arguments[1]), data = subtle_piece(ctx, arguments[3]);
    uint8_t counter[AES_BLOCK], *out = malloc(data.size + 1);
    int32_t bits = 0;
    struct aes aes;
    key_of(ctx, arguments[0], &aes);
    JS_ToInt32(ctx, &bits, arguments[2]);
    memcpy(counter, start.data, AES_BLOCK);
    if (out)
        ctr(&aes, counter, bits, data.data, data.size, out);
    return given(ctx, out, data.size, &aes);
}

/* aesCbcEncrypt(key, iv, data) -> ArrayBuffer, padded (PKCS #7) */
static JSValue cbc_encrypt(JSContext *ctx, JSValueConst self, int count, JSValueConst *arguments) {
    (void)self, (void)count;
    struct piece iv = subtle_piece(ctx, arguments[1]), data = subtle_piece(ctx, arguments[2]);
    size_t size = data.size / AES_BLOCK * AES_BLOCK + AES_BLOCK;
    uint8_t before[AES_BLOCK], *out = malloc(size);
    struct aes aes;
    key_of(ctx, arguments[0], &aes);
    memcpy(before, iv.data, AES_BLOCK);
    if (out) {
        memcpy(out, data.data, data.size);
        memset(out + data.size, (int)(size - data.size), size - data.size);
        for (size_t at = 0; at < size; at += AES_BLOCK) {
            for (int n = 0; n < AES_BLOCK; n++)
                before[n] ^= out[at + n];
            one_block(&aes, before, before);
            memcpy(out + at, before, AES_BLOCK);
        }
    }
    return given(ctx, out, size, &aes);
}

/* How many bytes of padding end these blocks, 1 to 16; 0 if they end otherwise. No byte decides when this is known. */
static unsigned padding(const uint8_t *last) {
    unsigned size = last[AES_BLOCK - 1], wrong = (size - 1) & ~15u;
    for (unsigned n = 0; n < AES_BLOCK; n++) {
        unsigned within = 0u - (n + 1 <= size);
        wrong |= within & (last[AES_BLOCK - 1 - n] ^ size);
    }
    return wrong ? 0 : size;
}

/* aesCbcDecrypt(key, iv, data of whole blocks, one at least) -> ArrayBuffer, null: the padding is wrong */
static JSValue cbc_decrypt(JSContext *ctx, JSValueConst self, int count, JSValueConst *arguments) {
    (void)self, (void)count;
    struct piece iv = subtle_piece(ctx, arguments[1]), data = subtle_piece(ctx, arguments[2]);
    uint8_t lanes[LANES_BYTES] = {0}, *out = malloc(data.size);
    struct aes aes;
    if (!out)
        return subtle_no_memory(ctx);
    key_of(ctx, arguments[0], &aes);
    for (size_t at = 0; at < data.size; at += LANES_BYTES) {
        size_t some = data.size - at < LANES_BYTES ? data.size - at : LANES_BYTES;
        memcpy(lanes, data.data + at, some);
        aes_decrypt(&aes, lanes);
        for (size_t n = 0; n < some; n++)
            out[at + n] = lanes[n] ^ (at + n < AES_BLOCK ? iv.data[at + n] : data.data[at + n - AES_BLOCK]);
    }
    unsigned pad = padding(out + data.size - AES_BLOCK);
    JSValue result = pad ? subtle_bytes(ctx, out, data.size - pad) : JS_NULL;
    subtle_wipe(out, data.size);
    subtle_wipe(&aes, sizeof aes);
    free(out);
    return result;
}

static void store_bits(uint8_t *at, size_t bytes) {
    for (int n = 0; n < 8; n++)
        at[7 - n] = (uint8_t)((uint64_t)bytes * 8 >> 8 * n);
}

/* Takes in `data`, padded with zeros to whole blocks. */
static void ghash_padded(const void *key, uint8_t y[AES_BLOCK], const uint8_t *data, size_t size) {
    uint8_t last[AES_BLOCK] = {0}, next[AES_BLOCK];
    size_t whole = size / AES_BLOCK * AES_BLOCK;
    if (whole) {
        ghash_portable(next, data, whole, y, key);
        memcpy(y, next, AES_BLOCK);
    }
    if (size > whole) {
        memcpy(last, data + whole, size - whole);
        ghash_portable(next, last, AES_BLOCK, y, key);
        memcpy(y, next, AES_BLOCK);
    }
}

static void ghash_sizes(const void *key, uint8_t y[AES_BLOCK], size_t first, size_t second) {
    uint8_t sizes[AES_BLOCK];
    store_bits(sizes, first);
    store_bits(sizes + 8, second);
    ghash_padded(key, y, sizes, sizeof sizes);
}

/* The block that counting starts from: SP 800-38D, section 7.1, step 2. */
static void gcm_start(const void *key, struct piece iv, uint8_t start[AES_BLOCK]) {
    memset(start, 0, AES_BLOCK);
    if (iv.size == 12) {
        memcpy(start, iv.data, 12);
        start[15] = 1;
    } else {
        ghash_padded(key, start, iv.data, iv.size);
        ghash_sizes(key, start, 0, iv.size);
    }
}

static void gcm_tag(const struct aes *aes, const void *key, const uint8_t start[AES_BLOCK], struct piece more,
                    const uint8_t *text, size_t size, uint8_t tag[AES_BLOCK]) {
    uint8_t mask[AES_BLOCK];
    memset(tag, 0, AES_BLOCK);
    ghash_padded(key, tag, more.data, more.size);
    ghash_padded(key, tag, text, size);
    ghash_sizes(key, tag, more.size, size);
    one_block(aes, start, mask);
    for (int n = 0; n < AES_BLOCK; n++)
        tag[n] ^= mask[n];
}

/* aesGcm(key, iv, additional data, data, bytes of the tag, encrypt) -> ArrayBuffer; null: the tag is another */
static JSValue aes_gcm(JSContext *ctx, JSValueConst self, int count, JSValueConst *arguments) {
    (void)self, (void)count;
    struct piece iv = subtle_piece(ctx, arguments[1]), more = subtle_piece(ctx, arguments[2]);
    struct piece data = subtle_piece(ctx, arguments[3]);
    uint32_t tag_size = 0;
    bool encrypt = JS_ToBool(ctx, arguments[5]);
    JS_ToUint32(ctx, &tag_size, arguments[4]);
    size_t size = encrypt ? data.size : data.size - tag_size; /* of the text */
    uint8_t zero[AES_BLOCK] = {0}, start[AES_BLOCK], counter[AES_BLOCK], tag[AES_BLOCK], *out = malloc(size + AES_BLOCK);
    struct aes aes;
    void *key = NULL;
    key_of(ctx, arguments[0], &aes);
    one_block(&aes, zero, zero);
    if (!out || ghash_expand_portable(zero, &key)) {
        free(out);
        return subtle_no_memory(ctx);
    }
    gcm_start(key, iv, start);
    memcpy(counter, start, AES_BLOCK);
    count_up(counter, 32);
    bool good = true;
    if (!encrypt) {
        gcm_tag(&aes, key, start, more, data.data, size, tag);
        good = subtle_same(tag, data.data + size, tag_size);
    }
    if (good)
        ctr(&aes, counter, 32, data.data, size, out);
    if (encrypt) {
        gcm_tag(&aes, key, start, more, out, size, tag);
        memcpy(out + size, tag, tag_size);
    }
    ghash_destroy_portable(key);
    JSValue result = good ? subtle_bytes(ctx, out, encrypt ? size + tag_size : size) : JS_NULL;
    subtle_wipe(&aes, sizeof aes);
    subtle_wipe(out, size);
    free(out);
    return result;
}

static const JSCFunctionListEntry functions[] = {
    JS_CFUNC_DEF("aesCtr", 4, aes_ctr), JS_CFUNC_DEF("aesCbcEncrypt", 3, cbc_encrypt),
    JS_CFUNC_DEF("aesCbcDecrypt", 3, cbc_decrypt), JS_CFUNC_DEF("aesGcm", 6, aes_gcm),
};

void subtle_aes_begin(JSContext *ctx, JSValue nk) {
    JS_SetPropertyFunctionList(ctx, nk, functions, sizeof functions / sizeof *functions);
}
