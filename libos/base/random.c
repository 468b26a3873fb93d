/*
 * Unpredictable bytes: ChaCha20 (RFC 8439 section 2.3) with fast key erasure. The key comes from the info page and is
 * taken anew whenever the generation has changed, so a machine that was parked or cloned never repeats itself; the
 * first 32 bytes of every call's key stream become the next key, so what was given out cannot be found later in memory.
 *
 * While an image is built there is no entropy, and what a program took then would be the same in every machine. So the
 * image ends where a program first needs unpredictable bytes, and each machine goes on from there with bytes of its own.
 */
#include "base.h"

static uint32_t key[8];
static uint64_t keyed_generation;
static bool keyed;

static inline uint32_t turn(uint32_t value, int by) {
    return value << by | value >> (32 - by);
}

#define QUARTER(a, b, c, d)                                                                                        \
    a += b, d = turn(d ^ a, 16), c += d, b = turn(b ^ c, 12), a += b, d = turn(d ^ a, 8), c += d, b = turn(b ^ c, 7)

static void chacha_block(const uint32_t from[8], uint32_t counter, uint32_t out[16]) {
    uint32_t in[16] = {0x61707865, 0x3320646e, 0x79622d32, 0x6b206574, [12] = counter}, x[16];
    memcpy(in + 4, from, 32);
    memcpy(x, in, sizeof x);
    for (int round = 0; round < 10; round++) {
        QUARTER(x[0], x[4], x[8], x[12]);
        QUARTER(x[1], x[5], x[9], x[13]);
        QUARTER(x[2], x[6], x[10], x[14]);
        QUARTER(x[3], x[7], x[11], x[15]);
        QUARTER(x[0], x[5], x[10], x[15]);
        QUARTER(x[1], x[6], x[11], x[12]);
        QUARTER(x[2], x[7], x[8], x[13]);
        QUARTER(x[3], x[4], x[9], x[14]);
    }
    for (int i = 0; i < 16; i++)
        out[i] = x[i] + in[i];
}

bool random_ready(void) {
    return NK_INFO->generation != 0;
}

void random_bytes(void *to, size_t size) {
    while (!random_ready())
        HYPERCALL(NK_PORT_READY, NK_READY_RANDOM, 0);
    random_fill(to, size);
}

void random_fill(void *to, size_t size) {
    if (!keyed || keyed_generation != NK_INFO->generation) {
        for (int i = 0; i < 4; i++) {
            uint64_t entropy = NK_INFO->entropy[i];
            memcpy(key + 2 * i, &entropy, 8);
        }
        keyed_generation = NK_INFO->generation;
        keyed = true;
    }
    uint32_t block[16], from[8], counter = 0;
    memcpy(from, key, sizeof from);
    chacha_block(from, counter++, block);
    memcpy(key, block, sizeof key);
    size_t offset = sizeof key;
    for (char *at = to; size;) {
        size_t piece = MIN(size, sizeof block - offset);
        memcpy(at, (char *)block + offset, piece);
        at += piece;
        size -= piece;
        offset = 0;
        if (size)
            chacha_block(from, counter++, block);
    }
    memset(from, 0, sizeof from);
    memset(block, 0, sizeof block);
    __asm__ volatile("" ::"r"(from), "r"(block) : "memory"); /* the erasure is not optimised away */
}
