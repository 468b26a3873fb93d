/* digest.c: SHA-1 and SHA-2, and what is made of them alone. */
#ifndef HASHES_H
#define HASHES_H

#include <stddef.h>
#include <stdint.h>

#define HASH_BYTES_MAX 64

struct hash {
    const char *name;
    size_t size, block; /* of a digest and of a block, bytes */
    int (*begin)(void **state);
    int (*add)(void *state, const uint8_t *data, size_t size);
    int (*end)(const void *state, uint8_t *out);
    int (*stop)(void *state);
    int (*rounds)(const void *inner, const void *outer, const uint8_t *first, uint8_t *out, size_t iterations);
};

/* Pieces of a message, as they lie in memory. */
struct piece {
    const uint8_t *data;
    size_t size;
};

const struct hash *hash_named(const char *name); /* NULL: no such */
/* `out` has hash->size bytes. False: no memory. */
bool hash_of(const struct hash *hash, size_t count, const struct piece *pieces, uint8_t *out);

#endif
