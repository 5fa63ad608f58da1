/* SHA-256 through libcrypto, XXH64 through xxHash.
 *
 * The functions of <openssl/sha.h>, not the EVP interface that OpenSSL 3 would
 * rather have called: EVP first sets up all of libcrypto, in thousands of
 * allocations, and crashes where one of them fails.  These need no memory at all
 * and run the same code for the processor. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "base/hash.h"

#include <openssl/sha.h>
#include <stdio.h>
#include <xxhash.h>

#include "base/memory.h"

struct tx_sha256 {
  SHA256_CTX context;
};

tx_sha256 *tx_sha256_new(void) {
  tx_sha256 *state = tx_alloc(sizeof *state);
  if (state && SHA256_Init(&state->context) == 1) return state;
  tx_free(state);
  return NULL;
}

bool tx_sha256_add(tx_sha256 *state, const void *data, size_t size) {
  return SHA256_Update(&state->context, data, size) == 1;
}

bool tx_sha256_finish(tx_sha256 *state, char hex[TX_SHA256_HEX]) {
  unsigned char digest[SHA256_DIGEST_LENGTH];
  if (SHA256_Final(digest, &state->context) != 1) return false;
  for (int i = 0; i < SHA256_DIGEST_LENGTH; i++) snprintf(hex + 2 * i, 3, "%02x", digest[i]);
  return true;
}

void tx_sha256_free(tx_sha256 *state) { tx_free(state); }

bool tx_sha256_bytes(const void *data, size_t size, char hex[TX_SHA256_HEX]) {
  tx_sha256 *state = tx_sha256_new();
  bool done = state && tx_sha256_add(state, data, size) && tx_sha256_finish(state, hex);
  tx_sha256_free(state);
  return done;
}

tx_status tx_sha256_file(const char *path, char hex[TX_SHA256_HEX], tx_error *error) {
  enum { CHUNK = 1 << 20 };
  FILE *file = fopen(path, "rb");
  if (!file) return tx_fail_errno(error, "read", path);
  unsigned char *chunk = tx_alloc(CHUNK);
  tx_sha256 *state = tx_sha256_new();
  tx_status status = chunk && state ? TX_OK : tx_fail_memory(error, CHUNK, "a hash");
  while (status == TX_OK) {
    size_t got = fread(chunk, 1, CHUNK, file);
    if (got == 0) break;
    if (!tx_sha256_add(state, chunk, got)) status = tx_fail_memory(error, CHUNK, "a hash");
  }
  if (status == TX_OK && ferror(file)) status = tx_fail_errno(error, "read", path);
  if (status == TX_OK && !tx_sha256_finish(state, hex)) {
    status = tx_fail_memory(error, CHUNK, "a hash");
  }
  tx_sha256_free(state);
  tx_free(chunk);
  fclose(file);
  return status;
}

uint64_t tx_hash64(const void *data, size_t size, uint64_t seed) { return XXH64(data, size, seed); }
