/* What the files of crypto.subtle share: arguments in, results out. lazy/subtle.js checks and copies what a worker gave, so
 * arguments of these functions are Uint8Arrays and strings of its own. What BoringSSL refuses comes back as null. */
#ifndef SUBTLE_H
#define SUBTLE_H

#include <openssl/evp.h>

#include "host.h"
#include "hashes.h"

/* Bytes as they lie in memory. */
struct piece {
    const uint8_t *data;
    size_t size;
};

struct piece subtle_piece(JSContext *ctx, JSValueConst value);     /* nothing for what is no Uint8Array */
const EVP_MD *subtle_hash(JSContext *ctx, JSValueConst name);       /* NULL with an exception */
JSValue subtle_bytes(JSContext *ctx, const uint8_t *data, size_t size); /* -> ArrayBuffer */
JSValue subtle_taken(JSContext *ctx, uint8_t *data, size_t size);   /* the same, and wipes and frees what malloc() gave */
JSValue subtle_null(void);                                          /* and forgets BoringSSL's errors */

EVP_PKEY *subtle_key(struct piece der, bool private, int type);     /* PKCS #8 or SPKI; NULL: not such a key */
JSValue subtle_der(JSContext *ctx, EVP_PKEY *key, bool private);    /* takes the key, or null for none */

void subtle_mac_begin(JSContext *ctx, JSValue nk);
void subtle_aes_begin(JSContext *ctx, JSValue nk);
void subtle_rsa_begin(JSContext *ctx, JSValue nk);
void subtle_ec_begin(JSContext *ctx, JSValue nk);
void subtle_okp_begin(JSContext *ctx, JSValue nk);

#endif
