/* digest.c: SHA-1 and SHA-2 by BoringSSL. */
#ifndef HASHES_H
#define HASHES_H

#include <openssl/digest.h>

const EVP_MD *hash_named(const char *name); /* as crypto.subtle names it; NULL: no such */

#endif
