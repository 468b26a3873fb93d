/* SHA-1 and SHA-2 (FIPS 180-4) by pycryptodome's sources, under the names that crypto.subtle has for them. */
#include "host.h"
#include "hashes.h"

/* Declared as the package's own binding does it: each file keeps its state's type to itself. */
#define DECLARE(NAME)                                            \
    int NAME##_update(void *, const uint8_t *, size_t);          \
    int NAME##_destroy(void *);
#define DECLARE_SHA2(NAME)                                       \
    DECLARE(NAME)                                                \
    int NAME##_digest(const void *, uint8_t *, size_t);          \
    int NAME##_pbkdf2_hmac_assist(const void *, const void *, const uint8_t *, uint8_t *, size_t, size_t);

DECLARE(SHA1)
DECLARE_SHA2(SHA256)
DECLARE_SHA2(SHA384)
DECLARE_SHA2(SHA512)
int SHA1_init(void **);
int SHA1_digest(const void *, uint8_t *);
int SHA1_pbkdf2_hmac_assist(const void *, const void *, const uint8_t *, uint8_t *, size_t);
int SHA256_init(void **);
int SHA384_init(void **);
int SHA512_init(void **, size_t);

static int sha512_begin(void **state) {
    return SHA512_init(state, 64);
}

#define ENDS(NAME, SIZE)                                                                                              \
    static int NAME##_end(const void *state, uint8_t *out) {                                                          \
        return NAME##_digest(state, out, SIZE);                                                                       \
    }                                                                                                                 \
    static int NAME##_rounds(const void *inner, const void *outer, const uint8_t *first, uint8_t *out, size_t times) { \
        return NAME##_pbkdf2_hmac_assist(inner, outer, first, out, times, SIZE);                                      \
    }

ENDS(SHA256, 32)
ENDS(SHA384, 48)
ENDS(SHA512, 64)

static const struct hash hashes[] = {
    {"SHA-1", 20, 64, SHA1_init, SHA1_update, SHA1_digest, SHA1_destroy, SHA1_pbkdf2_hmac_assist},
    {"SHA-256", 32, 64, SHA256_init, SHA256_update, SHA256_end, SHA256_destroy, SHA256_rounds},
    {"SHA-384", 48, 128, SHA384_init, SHA384_update, SHA384_end, SHA384_destroy, SHA384_rounds},
    {"SHA-512", 64, 128, sha512_begin, SHA512_update, SHA512_end, SHA512_destroy, SHA512_rounds},
};

const struct hash *hash_named(const char *name) {
    for (size_t n = 0; n < sizeof hashes / sizeof *hashes; n++)
        if (!strcmp(name, hashes[n].name))
            return &hashes[n];
    return NULL;
}

bool hash_of(const struct hash *hash, size_t count, const struct piece *pieces, uint8_t *out) {
    void *state;
    if (hash->begin(&state))
        return false;
    int failed = 0;
    for (size_t n = 0; n < count; n++)
        failed |= pieces[n].size && hash->add(state, pieces[n].data, pieces[n].size);
    failed |= hash->end(state, out);
    hash->stop(state);
    return !failed;
}

/* The digest in `out` and its size; 0 for a name that is not known. */
size_t digest(const char *name, const uint8_t *data, size_t size, uint8_t out[64]) {
    const struct hash *hash = hash_named(name);
    struct piece whole = {data, size};
    return hash && hash_of(hash, 1, &whole, out) ? hash->size : 0;
}
