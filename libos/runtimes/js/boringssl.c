/*
 * BoringSSL's inner module (its crypto/fipsmodule/bcm.c) with the parts of it that crypto.subtle uses, as one unit, which is
 * how its files are written to be compiled; and with a random generator that keeps nothing.
 *
 * BoringSSL's own generator keeps a state in memory, which every machine that starts from one image or one record would have
 * in common. So each call asks the libOS, whose bytes differ after every restore and in every clone.
 */
#include <nunatak.h>
#include <openssl/crypto.h>

#include "crypto/fipsmodule/bcm_interface.h"

bcm_infallible BCM_rand_bytes(uint8_t *out, size_t size) {
    nk_random(out, size);
    return bcm_infallible_approved;
}

/* The additional data hedges against a bad generator; here nothing but this one says what is random. */
bcm_infallible BCM_rand_bytes_with_additional_data(uint8_t *out, size_t size, const uint8_t additional[32]) {
    (void)additional;
    return BCM_rand_bytes(out, size);
}

int RAND_bytes(uint8_t *out, size_t size) {
    BCM_rand_bytes(out, size);
    return 1;
}

/* What is drawn once and kept would have to be drawn anew in a copy of the process; nothing is kept here. */
uint64_t CRYPTO_get_fork_generation(void) {
    return 0;
}

#include "crypto/fipsmodule/aes/aes.c.inc"
#include "crypto/fipsmodule/aes/aes_nohw.c.inc"
#include "crypto/fipsmodule/bn/add.c.inc"
#include "crypto/fipsmodule/bn/asm/x86_64-gcc.c.inc"
#include "crypto/fipsmodule/bn/div.c.inc"
#include "crypto/fipsmodule/bn/exponentiation.c.inc"
#include "crypto/fipsmodule/bn/generic.c.inc"
#include "crypto/fipsmodule/bn/montgomery.c.inc"
#include "crypto/fipsmodule/bn/montgomery_inv.c.inc"
#include "crypto/fipsmodule/bn/mul.c.inc"
#include "crypto/fipsmodule/bn/rsaz_exp.c.inc"
#include "crypto/fipsmodule/ec/ec_montgomery.c.inc"
#include "crypto/fipsmodule/ec/felem.c.inc"
#include "crypto/fipsmodule/ec/p256.c.inc"
#include "crypto/fipsmodule/ec/p256-nistz.c.inc"
#include "crypto/fipsmodule/ec/scalar.c.inc"
#include "crypto/fipsmodule/ec/simple_mul.c.inc"
#include "crypto/fipsmodule/modes/cbc.c.inc"
#include "crypto/fipsmodule/modes/cfb.c.inc"
#include "crypto/fipsmodule/modes/ctr.c.inc"
#include "crypto/fipsmodule/modes/gcm.c.inc"
#include "crypto/fipsmodule/modes/gcm_nohw.c.inc"
#include "crypto/fipsmodule/modes/ofb.c.inc"
#include "crypto/fipsmodule/sha/sha1.c.inc"
#include "crypto/fipsmodule/sha/sha256.c.inc"
#include "crypto/fipsmodule/sha/sha512.c.inc"

/* Nobody here asks for P-224; its own arithmetic is 50 KiB. */
const EC_METHOD *EC_GFp_nistp224_method(void) {
    return EC_GFp_mont_method();
}

/* What follows does not work on each byte or digit: it is compiled small. */
#pragma clang attribute push(__attribute__((minsize)), apply_to = function)
#include "crypto/fipsmodule/aes/key_wrap.c.inc"
#include "crypto/fipsmodule/aes/mode_wrappers.c.inc"
#include "crypto/fipsmodule/bn/bn.c.inc"
#include "crypto/fipsmodule/bn/bytes.c.inc"
#include "crypto/fipsmodule/bn/cmp.c.inc"
#include "crypto/fipsmodule/bn/ctx.c.inc"
#include "crypto/fipsmodule/bn/div_extra.c.inc"
#include "crypto/fipsmodule/bn/gcd.c.inc"
#include "crypto/fipsmodule/bn/gcd_extra.c.inc"
#include "crypto/fipsmodule/bn/jacobi.c.inc"
#include "crypto/fipsmodule/bn/prime.c.inc"
#include "crypto/fipsmodule/bn/random.c.inc"
#include "crypto/fipsmodule/bn/shift.c.inc"
#include "crypto/fipsmodule/bn/sqrt.c.inc"
#include "crypto/fipsmodule/cipher/aead.c.inc"
#include "crypto/fipsmodule/cipher/cipher.c.inc"
#include "crypto/fipsmodule/cipher/e_aes.c.inc"
#include "crypto/fipsmodule/digest/digest.c.inc"
#include "crypto/fipsmodule/digest/digests.c.inc"
#include "crypto/fipsmodule/ecdh/ecdh.c.inc"
#include "crypto/fipsmodule/ecdsa/ecdsa.c.inc"
#include "crypto/fipsmodule/ec/ec.c.inc"
#include "crypto/fipsmodule/ec/ec_key.c.inc"
#include "crypto/fipsmodule/ec/oct.c.inc"
#include "crypto/fipsmodule/ec/simple.c.inc"
#include "crypto/fipsmodule/ec/util.c.inc"
#include "crypto/fipsmodule/ec/wnaf.c.inc"
#include "crypto/fipsmodule/hkdf/hkdf.c.inc"
#include "crypto/fipsmodule/hmac/hmac.c.inc"
#include "crypto/fipsmodule/rsa/blinding.c.inc"
#include "crypto/fipsmodule/rsa/padding.c.inc"
#include "crypto/fipsmodule/rsa/rsa.c.inc"
#include "crypto/fipsmodule/rsa/rsa_impl.c.inc"
#include "crypto/fipsmodule/service_indicator/service_indicator.c.inc"
#pragma clang attribute pop
