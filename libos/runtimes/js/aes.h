/* aes.c: AES (FIPS 197) on four blocks at a time. */
#ifndef AES_H
#define AES_H

#include <stddef.h>
#include <stdint.h>

#define AES_BLOCK 16
#define AES_LANES 4 /* blocks that are worked on together */

struct aes {
    int rounds;
    uint64_t keys[15][8]; /* each round's key as planes of bits */
};

void aes_begin(struct aes *aes, const uint8_t *key, size_t size); /* 16, 24 or 32 bytes */
void aes_encrypt(const struct aes *aes, uint8_t blocks[AES_LANES * AES_BLOCK]);
void aes_decrypt(const struct aes *aes, uint8_t blocks[AES_LANES * AES_BLOCK]);

#endif
