/*
 * AES (FIPS 197) without tables and without branches on data: no key or text chooses an address.
 *
 * The AES in C of the package that the hashes are from looks bytes up in tables, whose place in the cache tells of the
 * key; and a machine has no AES instructions to count on. So this is our own, bit by bit: `plane[k]` has bit k of 64 bytes, which are four blocks; a byte of a block is bit 16 * block + 4 * column + row.
 * SubBytes is the inverse in GF(2^8), x^254, and the affine map, as the standard defines it in its section 5.1.1.
 */
#include <string.h>

#include "aes.h"

typedef uint64_t planes[8];

#define EVERY_BLOCK(bits) ((uint64_t)(bits) * 0x0001000100010001u)
#define EVERY_COLUMN(bits) ((uint64_t)(bits) * 0x1111111111111111u)

static void load(planes to, const uint8_t *bytes, int count) {
    memset(to, 0, sizeof(planes));
    for (int n = 0; n < count; n++)
        for (int k = 0; k < 8; k++)
            to[k] |= (uint64_t)(bytes[n] >> k & 1) << n;
}

static void store(const planes from, uint8_t *bytes, int count) {
    for (int n = 0; n < count; n++) {
        unsigned byte = 0;
        for (int k = 0; k < 8; k++)
            byte |= (unsigned)(from[k] >> n & 1) << k;
        bytes[n] = (uint8_t)byte;
    }
}

/* A polynomial of degree 14 modulo x^8 + x^4 + x^3 + x + 1. */
static void reduce(planes out, uint64_t wide[15]) {
    for (int k = 14; k >= 8; k--) {
        wide[k - 4] ^= wide[k];
        wide[k - 5] ^= wide[k];
        wide[k - 7] ^= wide[k];
        wide[k - 8] ^= wide[k];
    }
    memcpy(out, wide, sizeof(planes));
}

static void multiply(planes out, const planes a, const planes b) {
    uint64_t wide[15] = {0};
    for (int i = 0; i < 8; i++)
        for (int j = 0; j < 8; j++)
            wide[i + j] ^= a[i] & b[j];
    reduce(out, wide);
}

static void square(planes out, const planes a, int times) {
    memmove(out, a, sizeof(planes));
    while (times--) {
        uint64_t wide[15] = {0};
        for (int i = 0; i < 8; i++)
            wide[2 * i] = out[i];
        reduce(out, wide);
    }
}

/* x^254 = x^240 * x^12 * x^2: the inverse, and 0 for 0. */
static void invert(planes x) {
    planes two, three, twelve, high;
    square(two, x, 1);
    multiply(three, two, x);
    square(twelve, three, 2);
    multiply(high, twelve, three); /* x^15 */
    square(high, high, 4);
    multiply(high, high, twelve);
    multiply(x, high, two);
}

static void substitute(planes x) {
    planes y;
    invert(x);
    for (int k = 0; k < 8; k++)
        y[k] = x[k] ^ x[(k + 4) % 8] ^ x[(k + 5) % 8] ^ x[(k + 6) % 8] ^ x[(k + 7) % 8] ^ (0x63 >> k & 1 ? ~0ull : 0);
    memcpy(x, y, sizeof y);
}

static void substitute_back(planes x) {
    planes y;
    for (int k = 0; k < 8; k++)
        y[k] = x[(k + 2) % 8] ^ x[(k + 5) % 8] ^ x[(k + 7) % 8] ^ (0x05 >> k & 1 ? ~0ull : 0);
    memcpy(x, y, sizeof y);
    invert(x);
}

/* Row r goes `r * step` columns to the left. */
static void shift_rows(planes x, int step) {
    for (int k = 0; k < 8; k++) {
        uint64_t whole = x[k] & EVERY_COLUMN(1);
        for (int row = 1; row < 4; row++) {
            uint64_t bits = x[k] & EVERY_COLUMN(1 << row);
            int by = row * step % 4 * 4;
            whole |= (bits >> by & EVERY_BLOCK(0xffff >> by)) | (bits << (16 - by) & EVERY_BLOCK(0xffff & ~(0xffff >> by)));
        }
        x[k] = whole;
    }
}

/* Each byte's place takes the byte `by` rows below, within its column. */
static uint64_t below(uint64_t x, int by) {
    return (x >> by & EVERY_COLUMN(15 >> by)) | (x << (4 - by) & EVERY_COLUMN(15 & ~(15 >> by)));
}

static void twice(planes out, const planes a) {
    for (int k = 7; k > 0; k--)
        out[k] = a[k - 1] ^ (k == 1 || k == 3 || k == 4 ? a[7] : 0);
    out[0] = a[7];
}

static void mix_columns(planes x) {
    planes pair, doubled;
    for (int k = 0; k < 8; k++)
        pair[k] = x[k] ^ below(x[k], 1);
    twice(doubled, pair);
    for (int k = 0; k < 8; k++)
        x[k] = doubled[k] ^ below(x[k], 1) ^ below(pair[k], 2);
}

/* The inverse matrix is that of mix_columns() times {5, 0, 4, 0}. */
static void mix_columns_back(planes x) {
    planes pair, two, four;
    for (int k = 0; k < 8; k++)
        pair[k] = x[k] ^ below(x[k], 2);
    twice(two, pair);
    twice(four, two);
    for (int k = 0; k < 8; k++)
        x[k] ^= four[k];
    mix_columns(x);
}

static void add(planes x, const planes key) {
    for (int k = 0; k < 8; k++)
        x[k] ^= key[k];
}

static void substitute_word(uint8_t word[4]) {
    planes x;
    load(x, word, 4);
    substitute(x);
    store(x, word, 4);
}

void aes_begin(struct aes *aes, const uint8_t *key, size_t size) {
    uint8_t words[60][4], factor = 1;
    int length = (int)size / 4;
    aes->rounds = length + 6;
    memcpy(words, key, size);
    for (int n = length; n < 4 * (aes->rounds + 1); n++) {
        uint8_t word[4];
        memcpy(word, words[n - 1], 4);
        if (n % length == 0) {
            uint8_t first = word[0];
            memmove(word, word + 1, 3);
            word[3] = first;
            substitute_word(word);
            word[0] ^= factor;
            factor = (uint8_t)(factor << 1 ^ (factor >> 7) * 0x1b);
        } else if (length > 6 && n % length == 4) {
            substitute_word(word);
        }
        for (int b = 0; b < 4; b++)
            words[n][b] = words[n - length][b] ^ word[b];
    }
    for (int round = 0; round <= aes->rounds; round++) {
        load(aes->keys[round], words[4 * round], AES_BLOCK);
        for (int k = 0; k < 8; k++)
            aes->keys[round][k] = EVERY_BLOCK(aes->keys[round][k]);
    }
}

void aes_encrypt(const struct aes *aes, uint8_t *blocks) {
    planes x;
    load(x, blocks, AES_LANES * AES_BLOCK);
    add(x, aes->keys[0]);
    for (int round = 1; round <= aes->rounds; round++) {
        substitute(x);
        shift_rows(x, 1);
        if (round < aes->rounds)
            mix_columns(x);
        add(x, aes->keys[round]);
    }
    store(x, blocks, AES_LANES * AES_BLOCK);
}

void aes_decrypt(const struct aes *aes, uint8_t *blocks) {
    planes x;
    load(x, blocks, AES_LANES * AES_BLOCK);
    for (int round = aes->rounds; round > 0; round--) {
        add(x, aes->keys[round]);
        if (round < aes->rounds)
            mix_columns_back(x);
        shift_rows(x, 3);
        substitute_back(x);
    }
    add(x, aes->keys[0]);
    store(x, blocks, AES_LANES * AES_BLOCK);
}
