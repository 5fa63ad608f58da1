/* Every allocation of making a tokenizer and of encoding fails once, in turn:
 * each gives TX_ERROR_SYSTEM, keeps the ids that were there and loses no memory
 * (where PCRE2's compiler fails, its interpreter takes over and all is well).
 * glibc's allocator is called under its own names; a sanitizer brings its own, so
 * there is nothing to do in its builds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "text/bytes.h"
#include "text/tokenizer.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define __SANITIZE_ADDRESS__ 1
#endif
#endif

#if !defined(__SANITIZE_ADDRESS__)

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *block, size_t size);
extern void __libc_free(void *block);

static int until_failure; /* 0: none fails */
static int blocks;        /* in use, less those from before this program counted */

static void *count(void *block) {
  blocks += block != NULL;
  return block;
}

static bool fails(void) { return until_failure > 0 && --until_failure == 0; }

void *malloc(size_t size) { return fails() ? NULL : count(__libc_malloc(size)); }
void *calloc(size_t n, size_t size) { return fails() ? NULL : count(__libc_calloc(n, size)); }
void *realloc(void *block, size_t size) {
  if (fails()) return NULL;
  return block ? __libc_realloc(block, size) : count(__libc_realloc(block, size));
}
void free(void *block) {
  blocks -= block != NULL;
  __libc_free(block);
}

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
    int before = blocks;
    until_failure = at;
    tx_status status = make(&tokenizer, &error);
    bool reached = until_failure == 0;
    until_failure = 0;
    failures += status == TX_ERROR_SYSTEM;
    assert_true(status == TX_OK || (reached && status == TX_ERROR_SYSTEM));
    assert_true((status == TX_OK) == (tokenizer != NULL));
    tx_tokenizer_free(tokenizer);
    assert_int_equal(blocks, before);
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
  for (int at = 1;; at++) {
    int before = blocks;
    tx_ids ids = {0};
    assert_int_equal(tx_tokenizer_encode(tokenizer, tx_text_of("b"), true, 0, &ids, &error), TX_OK);
    until_failure = at;
    tx_status status = tx_tokenizer_encode(tokenizer, text, true, 0, &ids, &error);
    bool reached = until_failure == 0;
    until_failure = 0;
    assert_int_equal(status, reached ? TX_ERROR_SYSTEM : TX_OK);
    assert_int_equal(ids.ids[0], 'b');
    assert_true(reached ? ids.count == 1 : ids.count > 100);
    tx_ids_free(&ids);
    assert_int_equal(blocks, before);
    error = (tx_error){0};
    if (!reached) break;
    failures++;
  }
  assert_true(failures >= 4);
  tx_tokenizer_free(tokenizer);
}

#else

static void test_making(void **state) {
  (void)state;
  skip();
}

static void test_encoding(void **state) { test_making(state); }

#endif

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_making),
                                     cmocka_unit_test(test_encoding)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
