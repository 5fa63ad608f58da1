/* SHA-256 (OpenSSL's libcrypto) for what must be the same file, XXH64 for
 * keys of tables and caches. */
#ifndef TX_BASE_HASH_H
#define TX_BASE_HASH_H

#include "base/error.h"

enum { TX_SHA256_HEX = 65 }; /* 64 lower-case hex digits and a NUL */

typedef struct tx_sha256 tx_sha256;
tx_sha256 *tx_sha256_new(void); /* NULL when out of memory */
bool tx_sha256_add(tx_sha256 *state, const void *data, size_t size);
bool tx_sha256_finish(tx_sha256 *state, char hex[TX_SHA256_HEX]);
void tx_sha256_free(tx_sha256 *state);

bool tx_sha256_bytes(const void *data, size_t size, char hex[TX_SHA256_HEX]);
/* Reads the file through; a failure to read is TX_ERROR_SYSTEM. */
tx_status tx_sha256_file(const char *path, char hex[TX_SHA256_HEX], tx_error *error);

uint64_t tx_hash64(const void *data, size_t size, uint64_t seed);

#endif
