/* Texts to sequences: every text has at least one token and at most the limit,
 * cut exactly there; the offsets and the count of cut texts agree. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "golden.h"
#include "base/memory.h"
#include "text/encode.h"
#include "text/vocabulary.h"

static tx_tokenizer *tiny(const char *name) {
  tx_gguf *gguf = golden_open(name);
  tx_tokenizer *tokenizer;
  ASSERT_OK(tx_tokenizer_from_gguf(gguf, &tokenizer, error));
  tx_gguf_close(gguf);
  return tokenizer;
}

static const char *const texts[] = {"The weather in the north was cold",
                                    "",
                                    "one",
                                    " \n\t ",
                                    "größer 😀 0800 123 456 it wasn't",
                                    "<|endoftext|>",
                                    "a"};
enum { TEXTS = sizeof texts / sizeof *texts };

/* Against the tokenizer itself, text by text, at every limit. */
static void check_limits(const char *name) {
  tx_tokenizer *tokenizer = tiny(name);
  tx_text list[TEXTS];
  for (int i = 0; i < TEXTS; i++) list[i] = tx_text_of(texts[i]);
  for (int64_t limit = 1; limit < 40; limit++) {
    tx_encoded encoded;
    int64_t cut = 0;
    ASSERT_OK(tx_encode(tokenizer, list, TEXTS, (tx_encoding){limit, 0}, &encoded, error));
    assert_int_equal(encoded.count, TEXTS);
    assert_int_equal(encoded.offsets[0], 0);
    for (int i = 0; i < TEXTS; i++) {
      tx_ids ids = {0};
      ASSERT_OK(tx_tokenizer_encode(tokenizer, list[i], false, 0, &ids, error));
      int64_t from = encoded.offsets[i], count = encoded.offsets[i + 1] - from;
      if (ids.count == 0) {
        assert_int_equal(list[i].size, 0);
        assert_int_equal(count, 1);
        int64_t bos = tx_tokenizer_bos(tokenizer), eos = tx_tokenizer_eos(tokenizer);
        assert_int_equal(encoded.ids[from], bos >= 0 ? bos : eos);
      } else {
        assert_int_equal(count, (int64_t)ids.count < limit ? (int64_t)ids.count : limit);
        assert_memory_equal(encoded.ids + from, ids.ids, (size_t)count * sizeof *ids.ids);
      }
      cut += (int64_t)ids.count > limit;
      tx_ids_free(&ids);
    }
    assert_int_equal(encoded.cut, cut);
    tx_encoded_free(&encoded);
    assert_null(encoded.ids);
  }
  tx_tokenizer_free(tokenizer);
}

static void test_cutting_at_every_limit(void **state) {
  (void)state;
  check_limits("tiny_llama.gguf");
  check_limits("tiny_gpt2.gguf");
}

static void test_control_tokens_stay_text(void **state) {
  (void)state;
  tx_tokenizer *tokenizer = tiny("tiny_llama.gguf");
  tx_text text = tx_text_of("<|endoftext|>");
  tx_encoded encoded;
  ASSERT_OK(tx_encode(tokenizer, &text, 1, (tx_encoding){100, 0}, &encoded, error));
  assert_true(encoded.offsets[1] > 3);
  for (int64_t i = 0; i < encoded.offsets[1]; i++) assert_true(encoded.ids[i] > 2);
  tx_encoded_free(&encoded);
  tx_tokenizer_free(tokenizer);
}

/* A million letters cost no more than what is kept. */
static void test_a_long_text(void **state) {
  (void)state;
  tx_tokenizer *tokenizer = tiny("tiny_llama.gguf");
  enum { SIZE = 1 << 20 };
  char *letters = checked_memory(SIZE);
  for (int i = 0; i < SIZE; i++) letters[i] = i % 5 == 4 ? ' ' : 'a';
  tx_text list[2] = {{letters, SIZE}, {"one", 3}};
  tx_encoded encoded;
  ASSERT_OK(tx_encode(tokenizer, list, 2, (tx_encoding){128, 0}, &encoded, error));
  assert_int_equal(encoded.offsets[1], 128);
  assert_int_equal(encoded.cut, 1);
  tx_encoded_free(&encoded);
  free(letters);
  tx_tokenizer_free(tokenizer);
}

static void test_no_texts(void **state) {
  (void)state;
  tx_tokenizer *tokenizer = tiny("tiny_gpt2.gguf");
  tx_encoded encoded;
  ASSERT_OK(tx_encode(tokenizer, NULL, 0, (tx_encoding){10, 0}, &encoded, error));
  assert_int_equal(encoded.count, 0);
  assert_int_equal(encoded.offsets[0], 0);
  tx_encoded_free(&encoded);
  tx_tokenizer_free(tokenizer);
}

/* A vocabulary may have no symbol for the blank, nor for any byte of a text. */
static void test_a_vocabulary_of_two_letters(void **state) {
  (void)state;
  static const tx_text tokens[] = {{"b", 1}, {"a", 1}};
  for (int eos = -1; eos < 2; eos++) {
    tx_vocabulary vocabulary = {.file = "made",
                                .split = {"gpt-2", 5},
                                .tokens = tokens,
                                .count = 2,
                                .bos = -1,
                                .eos = eos,
                                .unknown = -1,
                                .padding = -1};
    tx_tokenizer *tokenizer;
    ASSERT_OK(tx_tokenizer_new(&vocabulary, &tokenizer, error));
    tx_text list[100];
    for (int i = 0; i < 100; i++) list[i] = tx_text_of(i % 3 ? "  z" : i % 2 ? "" : "ab");
    for (int from = 0; from < 2; from++) { /* the first text is one with and one without tokens */
      tx_encoded encoded;
      ASSERT_OK(
          tx_encode(tokenizer, list + from, 100 - from, (tx_encoding){10, 0}, &encoded, error));
      for (int i = 0; i < 100 - from; i++) {
        bool letters = (i + from) % 6 == 0;
        int64_t at = encoded.offsets[i];
        assert_int_equal(encoded.offsets[i + 1] - at, letters ? 2 : 1);
        assert_int_equal(encoded.ids[at], letters ? 1 : eos < 0 ? 0 : eos);
      }
      assert_int_equal(encoded.cut, 0);
      tx_encoded_free(&encoded);
    }
    tx_tokenizer_free(tokenizer);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_cutting_at_every_limit),
      cmocka_unit_test(test_control_tokens_stay_text),
      cmocka_unit_test(test_a_long_text),
      cmocka_unit_test(test_no_texts),
      cmocka_unit_test(test_a_vocabulary_of_two_letters),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
