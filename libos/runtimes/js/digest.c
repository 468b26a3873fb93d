/* SHA-1 and SHA-2 for crypto.subtle.digest (FIPS 180-4). */
#include "host.h"

typedef uint32_t u32;
typedef uint64_t u64;

#define ROR32(x, n) ((x) >> (n) | (x) << (32 - (n)))
#define ROR64(x, n) ((x) >> (n) | (x) << (64 - (n)))

/* Fractional parts of the cube roots of the first 80 primes; the first 64 words' upper halves are SHA-256's. */
static u64 constants[80];
static bool ready;

/* floor(frac(root) * 2^64) of a prime's cube root, by bisection over integers: x^3 <= p * 2^192. */
static u64 cube_root_fraction(unsigned prime) {
    unsigned whole = 1;
    while ((whole + 1) * (whole + 1) * (whole + 1) <= prime)
        whole++;
    u64 low = 0;
    for (int bit = 63; bit >= 0; bit--) {
        u64 fraction = low | 1ull << bit;
        /* Is (whole + fraction / 2^64)^3 <= prime? In 32-bit limbs, least significant first. */
        u32 x[3] = {(u32)fraction, (u32)(fraction >> 32), whole}, square[6] = {0}, cube[9] = {0};
        for (int i = 0; i < 3; i++)
            for (u64 j = 0, carry = 0; j < 4; j++) {
                u64 sum = square[i + j] + carry + (j < 3 ? (u64)x[i] * x[j] : 0);
                square[i + j] = (u32)sum;
                carry = sum >> 32;
            }
        for (int i = 0; i < 6; i++)
            for (u64 j = 0, carry = 0; j < 4 && i + j < 9; j++) {
                u64 sum = cube[i + j] + carry + (j < 3 ? (u64)square[i] * x[j] : 0);
                cube[i + j] = (u32)sum;
                carry = sum >> 32;
            }
        bool rest = false;
        for (int i = 0; i < 6; i++)
            rest |= cube[i] != 0;
        u64 top = cube[6] | (u64)cube[7] << 32;
        if (top < prime || (top == prime && !rest))
            low = fraction;
    }
    return low;
}

static void make_constants(void) {
    unsigned count = 0;
    for (unsigned n = 2; count < 80; n++) {
        bool prime = true;
        for (unsigned d = 2; d * d <= n; d++)
            prime &= n % d != 0;
        if (prime)
            constants[count++] = cube_root_fraction(n);
    }
    ready = true;
}

static u64 load(const uint8_t *at, int size) {
    u64 value = 0;
    while (size--)
        value = value << 8 | *at++;
    return value;
}

static void block_sha1(u64 *h, const uint8_t *data) {
    u32 w[80], a = (u32)h[0], b = (u32)h[1], c = (u32)h[2], d = (u32)h[3], e = (u32)h[4];
    for (int t = 0; t < 80; t++)
        w[t] = t < 16 ? (u32)load(data + 4 * t, 4) : ROR32(w[t - 3] ^ w[t - 8] ^ w[t - 14] ^ w[t - 16], 31);
    for (int t = 0; t < 80; t++) {
        u32 f = t < 20 ? (b & c) | (~b & d) : t < 40 || t >= 60 ? b ^ c ^ d : (b & c) | (b & d) | (c & d);
        u32 k = t < 20 ? 0x5A827999 : t < 40 ? 0x6ED9EBA1 : t < 60 ? 0x8F1BBCDC : 0xCA62C1D6;
        u32 sum = ROR32(a, 27) + f + e + k + w[t];
        e = d, d = c, c = ROR32(b, 2), b = a, a = sum;
    }
    h[0] = (u32)(h[0] + a), h[1] = (u32)(h[1] + b), h[2] = (u32)(h[2] + c), h[3] = (u32)(h[3] + d), h[4] = (u32)(h[4] + e);
}

static void block_sha256(u64 *h, const uint8_t *data) {
    u32 w[64], v[8];
    for (int t = 0; t < 64; t++) {
        u32 x = t < 16 ? 0 : w[t - 15], y = t < 16 ? 0 : w[t - 2];
        w[t] = t < 16 ? (u32)load(data + 4 * t, 4)
                      : (ROR32(y, 17) ^ ROR32(y, 19) ^ y >> 10) + w[t - 7] + (ROR32(x, 7) ^ ROR32(x, 18) ^ x >> 3) + w[t - 16];
    }
    for (int i = 0; i < 8; i++)
        v[i] = (u32)h[i];
    for (int t = 0; t < 64; t++) {
        u32 one = v[7] + (ROR32(v[4], 6) ^ ROR32(v[4], 11) ^ ROR32(v[4], 25)) + ((v[4] & v[5]) ^ (~v[4] & v[6])) +
                  (u32)(constants[t] >> 32) + w[t];
        u32 two = (ROR32(v[0], 2) ^ ROR32(v[0], 13) ^ ROR32(v[0], 22)) + ((v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]));
        memmove(v + 1, v, 7 * sizeof *v);
        v[4] += one;
        v[0] = one + two;
    }
    for (int i = 0; i < 8; i++)
        h[i] = (u32)(h[i] + v[i]);
}

static void block_sha512(u64 *h, const uint8_t *data) {
    u64 w[80], v[8];
    for (int t = 0; t < 80; t++) {
        u64 x = t < 16 ? 0 : w[t - 15], y = t < 16 ? 0 : w[t - 2];
        w[t] = t < 16 ? load(data + 8 * t, 8)
                      : (ROR64(y, 19) ^ ROR64(y, 61) ^ y >> 6) + w[t - 7] + (ROR64(x, 1) ^ ROR64(x, 8) ^ x >> 7) + w[t - 16];
    }
    memcpy(v, h, sizeof v);
    for (int t = 0; t < 80; t++) {
        u64 one = v[7] + (ROR64(v[4], 14) ^ ROR64(v[4], 18) ^ ROR64(v[4], 41)) + ((v[4] & v[5]) ^ (~v[4] & v[6])) +
                  constants[t] + w[t];
        u64 two = (ROR64(v[0], 28) ^ ROR64(v[0], 34) ^ ROR64(v[0], 39)) + ((v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]));
        memmove(v + 1, v, 7 * sizeof *v);
        v[4] += one;
        v[0] = one + two;
    }
    for (int i = 0; i < 8; i++)
        h[i] += v[i];
}

static const struct {
    const char *name;
    int word, block, words; /* bytes of a word and of a block, words of the result */
    void (*step)(u64 *h, const uint8_t *data);
    u64 start[8];
} kinds[] = {
    {"SHA-1", 4, 64, 5, block_sha1, {0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0}},
    {"SHA-256", 4, 64, 8, block_sha256,
     {0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19}},
    {"SHA-384", 8, 128, 6, block_sha512,
     {0xCBBB9D5DC1059ED8, 0x629A292A367CD507, 0x9159015A3070DD17, 0x152FECD8F70E5939, 0x67332667FFC00B31,
      0x8EB44A8768581511, 0xDB0C2E0D64F98FA7, 0x47B5481DBEFA4FA4}},
    {"SHA-512", 8, 128, 8, block_sha512,
     {0x6A09E667F3BCC908, 0xBB67AE8584CAA73B, 0x3C6EF372FE94F82B, 0xA54FF53A5F1D36F1, 0x510E527FADE682D1,
      0x9B05688C2B3E6C1F, 0x1F83D9ABFB41BD6B, 0x5BE0CD19137E2179}},
};

/* The digest in `out` and its size; 0 for a name that is not known. */
size_t digest(const char *name, const uint8_t *data, size_t size, uint8_t out[64]) {
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        if (strcmp(name, kinds[k].name))
            continue;
        if (!ready)
            make_constants();
        size_t block = (size_t)kinds[k].block, word = (size_t)kinds[k].word, done = 0;
        u64 h[8];
        memcpy(h, kinds[k].start, sizeof h);
        for (; size - done >= block; done += block)
            kinds[k].step(h, data + done);
        uint8_t last[256] = {0};
        size_t rest = size - done, total = rest + 1 + 2 * word <= block ? block : 2 * block;
        memcpy(last, data + done, rest);
        last[rest] = 0x80;
        for (int i = 0; i < 8; i++)
            last[total - 1 - (size_t)i] = (uint8_t)((u64)size * 8 >> 8 * i);
        for (size_t at = 0; at < total; at += block)
            kinds[k].step(h, last + at);
        for (size_t i = 0; i < (size_t)kinds[k].words; i++)
            for (size_t b = 0; b < word; b++)
                out[i * word + b] = (uint8_t)(h[i] >> 8 * (word - 1 - b));
        return (size_t)kinds[k].words * word;
    }
    return 0;
}
