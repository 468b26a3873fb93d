/* SHA-1 and SHA-2 (FIPS 180-4) by BoringSSL, under the names that crypto.subtle has for them. */
#include "host.h"
#include "hashes.h"

static const struct {
    const char *name;
    const EVP_MD *(*hash)(void);
} hashes[] = {{"SHA-1", EVP_sha1}, {"SHA-256", EVP_sha256}, {"SHA-384", EVP_sha384}, {"SHA-512", EVP_sha512}};

const EVP_MD *hash_named(const char *name) {
    for (size_t n = 0; n < sizeof hashes / sizeof *hashes; n++)
        if (!strcmp(name, hashes[n].name))
            return hashes[n].hash();
    return NULL;
}

/* The digest in `out` and its size; 0 for a name that is not known, or without memory. */
size_t digest(const char *name, const uint8_t *data, size_t size, uint8_t out[64]) {
    const EVP_MD *hash = hash_named(name);
    unsigned written = 0;
    return hash && EVP_Digest(data, size, out, &written, hash, NULL) ? written : 0;
}
