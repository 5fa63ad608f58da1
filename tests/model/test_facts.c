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

/* ---- keys that change what is computed ----------------------------------- */

enum { BOOL = 7, STRING = 8, F64 = 12, U32 = 4, F32 = 6 };

static unsigned char *put(unsigned char *at, const void *data, size_t length) {
  memcpy(at, data, length);
  return at + length;
}

static unsigned char *put_name(unsigned char *at, const char *name, uint32_t type) {
  uint64_t length = strlen(name);
  return put(put(put(at, &length, 8), name, length), &type, 4);
}

/* The model with a key more in front of the others, and a string behind it so
 * long that the tensors stay aligned. */
static void opens_with_key(const char *key, uint32_t type, const void *value, size_t value_size,
                           tx_status wanted, const char *part) {
  enum { KEYS_AT = 16, FIRST_KEY = 24, ADDED = 160 };
  unsigned char *copy = malloc(size + ADDED), *at = copy + FIRST_KEY;
  assert_non_null(copy);
  uint64_t keys, left;
  memcpy(copy, bytes, FIRST_KEY);
  memcpy(copy + FIRST_KEY + ADDED, bytes + FIRST_KEY, size - FIRST_KEY);
  memcpy(&keys, copy + KEYS_AT, sizeof keys);
  keys += 2;
  memcpy(copy + KEYS_AT, &keys, sizeof keys);
  at = put(put_name(at, key, type), value, value_size);
  at = put_name(at, "filler", STRING);
  left = (uint64_t)(copy + FIRST_KEY + ADDED - at) - 8;
  at = put(at, &left, 8);
  memset(at, 'x', left);
  size += ADDED;
  opens(copy, wanted, part);
  size -= ADDED;
  free(copy);
}

static void with_real(const char *key, double value, tx_status wanted, const char *part) {
  float single = (float)value;
  opens_with_key(key, F64, &value, sizeof value, wanted, part);
  opens_with_key(key, F32, &single, sizeof single, wanted, part);
}

static void with_whole(const char *key, uint32_t value, tx_status wanted, const char *part) {
  opens_with_key(key, U32, &value, sizeof value, wanted, part);
}

static void with_truth(const char *key, bool value, tx_status wanted, const char *part) {
  opens_with_key(key, BOOL, &value, 1, wanted, part);
}

static void test_stretched_positions(void **state) {
  (void)state;
  with_real("llama.rope.scaling.factor", 1, TX_OK, "");
  with_real("llama.rope.scaling.factor", 4, TX_ERROR_INPUT, "llama.rope.scaling.factor is 4");
  with_real("llama.rope.scale_linear", 0.5, TX_ERROR_INPUT, "llama.rope.scale_linear is 0.5");
}

#define NOT_COMPUTED ", which taxon does not compute; use a model without it"

static void test_scales_and_caps(void **state) {
  (void)state;
  static const char *const scales[] = {"logit_scale", "residual_scale", "embedding_scale"};
  static const char *const others[] = {"attention.scale", "attention.clamp_kqv",
                                       "attention.max_alibi_bias", "attn_logit_softcapping",
                                       "final_logit_softcapping"};
  char key[80], part[200];
  for (int i = 0; i < 8; i++) {
    snprintf(key, sizeof key, "llama.%s", i < 3 ? scales[i] : others[i - 3]);
    snprintf(part, sizeof part, ": %s is 0.25" NOT_COMPUTED, key);
    with_real(key, 0.25, TX_ERROR_INPUT, part);
    snprintf(part, sizeof part, ": %s is nan" NOT_COMPUTED, key);
    with_real(key, (double)__builtin_nanf(""), TX_ERROR_INPUT, part);
    with_real(key, 0, TX_OK, "");
    snprintf(part, sizeof part, ": %s is 1" NOT_COMPUTED, key);
    with_real(key, 1, i < 3 ? TX_OK : TX_ERROR_INPUT, i < 3 ? "" : part);
  }
  with_whole("llama.logit_scale", 1, TX_OK, "");
  opens_with_key("llama.logit_scale", STRING, "\1\0\0\0\0\0\0\0001", 9, TX_ERROR_INPUT,
                 "key 'llama.logit_scale' is a string, not a real number");
}

static void test_other_kinds_of_attention(void **state) {
  (void)state;
  with_whole("llama.attention.sliding_window", 0, TX_OK, "");
  with_whole("llama.attention.sliding_window", 1u << 20, TX_OK, ""); /* beyond the context */
  with_whole("llama.attention.sliding_window", 16, TX_ERROR_INPUT,
             ": llama.attention.sliding_window is 16" NOT_COMPUTED);
  with_truth("llama.attention.causal", true, TX_OK, "");
  with_truth("llama.attention.causal", false, TX_ERROR_INPUT,
             ": llama.attention.causal is 0" NOT_COMPUTED);
  with_truth("llama.use_parallel_residual", false, TX_OK, "");
  with_truth("llama.use_parallel_residual", true, TX_ERROR_INPUT,
             ": llama.use_parallel_residual is 1" NOT_COMPUTED);
}

static void test_experts(void **state) {
  (void)state;
  with_whole("llama.expert_count", 0, TX_OK, "");
  with_whole("llama.expert_count", 8, TX_ERROR_INPUT, ": llama.expert_count is 8" NOT_COMPUTED);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_unchanged),
      cmocka_unit_test(test_blocks),
      cmocka_unit_test(test_sizes_of_one),
      cmocka_unit_test(test_stretched_positions),
      cmocka_unit_test(test_scales_and_caps),
      cmocka_unit_test(test_other_kinds_of_attention),
      cmocka_unit_test(test_experts),
  };
  return cmocka_run_group_tests(tests, setup, teardown);
}
