/* What the files of crypto.subtle share: arguments in, results out. The prelude checks and copies what a worker gave, so
 * arguments of these functions are Uint8Arrays of the prelude's own. */
#ifndef SUBTLE_H
#define SUBTLE_H

#include "host.h"
#include "hashes.h"

struct piece subtle_piece(JSContext *ctx, JSValueConst value);            /* nothing for what is no Uint8Array */
const struct hash *subtle_hash(JSContext *ctx, JSValueConst name);         /* NULL with an exception */
bool subtle_same(const uint8_t *a, const uint8_t *b, size_t size);         /* in a time that only the size tells */
void subtle_wipe(void *secret, size_t size);
JSValue subtle_bytes(JSContext *ctx, const uint8_t *data, size_t size);    /* -> ArrayBuffer */
JSValue subtle_no_memory(JSContext *ctx);

void subtle_mac_begin(JSContext *ctx, JSValue nk);
void subtle_aes_begin(JSContext *ctx, JSValue nk);

#endif
