/* Every allocation of making a tokenizer and of encoding fails once, in turn:
 * each gives TX_ERROR_SYSTEM, keeps the ids that were there and loses no memory
 * (where PCRE2's compiler fails, its interpreter takes over and all is well). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "failing.h"
#include "text/bytes.h"
#include "text/encode.h"
#include "text/tokenizer.h"

#ifdef FAILING_WORKS

enum { TOKENS = 256 + 3, LONG = 600 };
static char symbols[256][2], long_token[LONG];
static tx_text tokens[TOKENS];
static const tx_text merges[] = {{"a a", 3}, {"aa aa", 5}};
static int64_t kinds[TOKENS];

static tx_status make(tx_tokenizer **tokenizer, tx_error *error) {
  for (int i = 0; i < 256; i++) {
    tokens[i] = (tx_text){symbols[i], tx_byte_symbol((unsigned char)i, symbols[i])};
  }
  memset(long_token, 'a', LONG);
  memcpy(tokens + 256, (const tx_text[]){{"aa", 2}, {"aaaa", 4}, {long_token, LONG}},
         3 * sizeof *tokens);
  for (int i = 0; i < TOKENS; i++) kinds[i] = i == TOKENS - 1 ? TX_TOKEN_CONTROL : TX_TOKEN_NORMAL;
  tx_vocabulary v = {
      "memory.gguf", tx_text_of("gpt-2"), tokens, TOKENS, kinds, merges, 2, -1, -1, -1, -1};
  return tx_tokenizer_new(&v, tokenizer, error);
}

static void test_making(void **state) {
  (void)state;
  int failures = 0;
  for (int at = 1;; at++) {
    tx_error error = {0};
    tx_tokenizer *tokenizer;
    int64_t before = failing_blocks;
    failing_at = at;
    tx_status status = make(&tokenizer, &error);
    bool reached = failing_at == 0;
    failing_at = 0;
    failures += status == TX_ERROR_SYSTEM;
    assert_true(status == TX_OK || (reached && status == TX_ERROR_SYSTEM));
    assert_true((status == TX_OK) == (tokenizer != NULL));
    tx_tokenizer_free(tokenizer);
    assert_int_equal(failing_blocks, before);
    if (!reached) break;
  }
  assert_true(failures >= 12);
}

/* A long word, letters beyond ASCII, and more ids than there is room for. */
static tx_text hard_text(char *text, size_t size) {
  memset(text, 'a', size);
  memcpy(text + 300, " \xC3\xA9t\xC3\xA9 ", 7);
  return (tx_text){text, size};
}

static void test_encoding(void **state) {
  (void)state;
  tx_tokenizer *tokenizer;
  tx_error error = {0};
  assert_int_equal(make(&tokenizer, &error), TX_OK);
  char bytes[590];
  tx_text text = hard_text(bytes, sizeof bytes);
  int failures = 0;
  failing_own_only = true;
  for (int at = 1;; at++) {
    int64_t before = failing_blocks;
    tx_ids ids = {0};
    assert_int_equal(tx_tokenizer_encode(tokenizer, tx_text_of("b"), true, 0, &ids, &error), TX_OK);
    failing_at = at;
    tx_status status = tx_tokenizer_encode(tokenizer, text, true, 0, &ids, &error);
    bool reached = failing_at == 0;
    failing_at = 0;
    assert_int_equal(status, reached ? TX_ERROR_SYSTEM : TX_OK);
    assert_int_equal(ids.ids[0], 'b');
    assert_true(reached ? ids.count == 1 : ids.count > 100);
    tx_ids_free(&ids);
    assert_int_equal(failing_blocks, before);
    error = (tx_error){0};
    if (!reached) break;
    failures++;
  }
  failing_own_only = false;
  assert_true(failures >= 4);
  tx_tokenizer_free(tokenizer);
}

/* Sequences of several texts, one of them empty. */
static int encode_texts(void *tokenizer) {
  static const tx_text texts[] = {{"aaa b", 5}, {"", 0}, {"a", 1}};
  tx_encoded encoded;
  tx_error error = {0};
  tx_status status = tx_encode(tokenizer, texts, 3, (tx_encoding){10, 0}, &encoded, &error);
  assert_int_equal(status, error.status);
  if (status == TX_OK) assert_int_equal(encoded.offsets[3], 6);
  tx_encoded_free(&encoded);
  return (int)status;
}

static int encode_nothing(void *tokenizer) {
  tx_encoded encoded;
  tx_status status =
      tx_encode(tokenizer, (const tx_text[]){{"", 0}}, 1, (tx_encoding){10, 0}, &encoded, NULL);
  tx_encoded_free(&encoded);
  return (int)status;
}

static int64_t blocks_before;

static void check_texts(void *tokenizer, int64_t call, bool failed, int status) {
  (void)tokenizer, (void)call;
  assert_int_equal(status, failed ? TX_ERROR_SYSTEM : TX_OK);
  assert_int_equal(failing_blocks, blocks_before);
}

static void test_sequences(void **state) {
  (void)state;
  tx_tokenizer *tokenizer;
  tx_error error = {0};
  assert_int_equal(make(&tokenizer, &error), TX_OK);
  failing_own_only = true;
  blocks_before = failing_blocks;
  assert_true(failing_each(encode_texts, check_texts, tokenizer) >= 6);
  assert_true(failing_each(encode_nothing, check_texts, tokenizer) >= 4);
  failing_own_only = false;
  tx_tokenizer_free(tokenizer);
}

#else

static void test_making(void **state) {
  (void)state;
  skip();
}

static void test_encoding(void **state) { test_making(state); }
static void test_sequences(void **state) { test_making(state); }

#endif

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_making),
                                     cmocka_unit_test(test_encoding),
                                     cmocka_unit_test(test_sequences)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
