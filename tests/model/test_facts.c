/* Model files whose sizes or names do not tell one and the same model: refused,
 * not computed as far as they go.  Each is the tiny model with a few bytes changed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "model/model.h"

static unsigned char *bytes;
static size_t size;
static char path[] = "/tmp/taxon-facts.XXXXXX";

static int setup(void **state) {
  (void)state;
  FILE *file = fopen("tests/golden/tiny_llama.gguf", "rb");
  assert_non_null(file);
  fseek(file, 0, SEEK_END);
  size = (size_t)ftell(file);
  rewind(file);
  bytes = malloc(size);
  assert_non_null(bytes);
  assert_int_equal(fread(bytes, 1, size, file), size);
  fclose(file);
  int descriptor = mkstemp(path);
  assert_true(descriptor >= 0);
  close(descriptor);
  return 0;
}

static int teardown(void **state) {
  (void)state;
  free(bytes);
  return unlink(path);
}

/* The first byte behind the name of a key or a tensor. */
static unsigned char *behind(unsigned char *copy, const char *name) {
  unsigned char *found = memmem(copy, size, name, strlen(name));
  assert_non_null(found);
  return found + strlen(name);
}

static void opens(const unsigned char *copy, tx_status wanted, const char *part) {
  FILE *file = fopen(path, "wb");
  assert_non_null(file);
  assert_int_equal(fwrite(copy, 1, size, file), size);
  assert_int_equal(fclose(file), 0);
  tx_error error = {0};
  tx_model *model;
  tx_status status = tx_model_open(path, NULL, &model, &error);
  char sentence[1400];
  tx_error_sentence(&error, sentence, sizeof sentence);
  if (status != wanted || !strstr(sentence, part)) fail_msg("%d: %s", (int)status, sentence);
  tx_model_close(model);
}

static unsigned char *copy_file(void) {
  unsigned char *copy = malloc(size);
  assert_non_null(copy);
  memcpy(copy, bytes, size);
  return copy;
}

/* A 32-bit number stands behind its type. */
static void opens_with(const char *key, uint32_t value, tx_status wanted, const char *part) {
  unsigned char *copy = copy_file();
  memcpy(behind(copy, key) + 4, &value, sizeof value);
  opens(copy, wanted, part);
  free(copy);
}

static void test_unchanged(void **state) {
  (void)state;
  opens(bytes, TX_OK, "");
}

/* Fewer blocks than the file holds would be another model under this name. */
static void test_blocks(void **state) {
  (void)state;
  opens_with("llama.block_count", 3, TX_OK, "");
  opens_with("llama.block_count", 2, TX_ERROR_INPUT, "blk.2.");
  opens_with("llama.block_count", 1, TX_ERROR_INPUT, "blk.1.");
  opens_with("llama.block_count", 4, TX_ERROR_INPUT, "blk.3.");
  opens_with("llama.block_count", 0, TX_ERROR_INPUT, "block_count is 0");
}

/* A matrix of one row would be taken for a vector where it is trained. */
static void test_sizes_of_one(void **state) {
  (void)state;
  opens_with("llama.feed_forward_length", 1, TX_ERROR_INPUT, "feed_forward_length is 1");
  opens_with("llama.embedding_length", 1, TX_ERROR_INPUT, "embedding_length is 1");
}

/* Positions that are stretched without a word on how: two keys more, which take
 * 64 bytes, so that the tensors stay aligned. */
static void stretched(double factor, tx_status wanted, const char *part) {
  enum { KEYS_AT = 16, FIRST_KEY = 24, ADDED = 64 };
  static const char stretch[] = "llama.rope.scaling.factor", filler[] = "filler";
  unsigned char *copy = malloc(size + ADDED), *at = copy + FIRST_KEY;
  assert_non_null(copy);
  uint64_t length = strlen(stretch), keys;
  uint32_t type = 12; /* a 64-bit real number */
  memcpy(copy, bytes, FIRST_KEY);
  memcpy(copy + FIRST_KEY + ADDED, bytes + FIRST_KEY, size - FIRST_KEY);
  memcpy(&keys, copy + KEYS_AT, sizeof keys);
  keys += 2;
  memcpy(copy + KEYS_AT, &keys, sizeof keys);
  memcpy(at, &length, 8), memcpy(at + 8, stretch, length), at += 8 + length;
  memcpy(at, &type, 4), memcpy(at + 4, &factor, 8), at += 12;
  length = strlen(filler), type = 7; /* true or false */
  memcpy(at, &length, 8), memcpy(at + 8, filler, length), at += 8 + length;
  memcpy(at, &type, 4), at[4] = 0;
  assert_ptr_equal(at + 5, copy + FIRST_KEY + ADDED);
  size += ADDED;
  opens(copy, wanted, part);
  size -= ADDED;
  free(copy);
}

static void test_stretched_positions(void **state) {
  (void)state;
  stretched(1, TX_OK, "");
  stretched(4, TX_ERROR_INPUT, "llama.rope.scaling.factor is 4");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_unchanged),
      cmocka_unit_test(test_blocks),
      cmocka_unit_test(test_sizes_of_one),
      cmocka_unit_test(test_stretched_positions),
  };
  return cmocka_run_group_tests(tests, setup, teardown);
}
