/* BLEU and chrF against sacrebleu, and texts that are not UTF-8. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "golden/translation.h"
#include "trust/mteval.h"
#include "trust/overlap.h"
#include "trust/translation.h"

static void check(double got, double want, const char *what, size_t row) {
  if (fabs(got - want) <= 1e-10) return;
  fail_msg("%s of %zu: got %.17g, want %.17g", what, row, got, want);
}

static void check_scores(const tx_text *hypotheses, const tx_text *references, size_t count,
                         const golden_score *want, size_t row) {
  tx_bleu bleu;
  double chrf;
  tx_error error = {0};
  assert_int_equal(tx_bleu_corpus(hypotheses, references, count, &bleu, &error), TX_OK);
  assert_int_equal(tx_chrf_corpus(hypotheses, references, count, &chrf, &error), TX_OK);
  for (int i = 0; i < TX_BLEU_ORDERS; i++) {
    assert_int_equal(bleu.correct[i], want->counts[i]);
    assert_int_equal(bleu.total[i], want->counts[4 + i]);
    check(bleu.precisions[i], want->numbers[1 + i], "a precision", row);
  }
  assert_int_equal(bleu.hypothesis_words, want->counts[8]);
  assert_int_equal(bleu.reference_words, want->counts[9]);
  check(bleu.brevity_penalty, want->numbers[5], "the penalty", row);
  check(bleu.score, want->numbers[0], "BLEU", row);
  check(chrf, want->numbers[6], "chrF", row);
}

static void test_golden(void **state) {
  (void)state;
  tx_text hypotheses[GOLDEN_PAIRS], references[GOLDEN_PAIRS];
  for (size_t i = 0; i < GOLDEN_PAIRS; i++) {
    hypotheses[i] = tx_text_of(golden_pairs[i][0]);
    references[i] = tx_text_of(golden_pairs[i][1]);
    check_scores(hypotheses + i, references + i, 1, &golden_alone[i], i);
    check_scores(hypotheses, references, i + 1, &golden_together[i], i);
  }
}

static void test_words(void **state) {
  (void)state;
  tx_mteval mteval = {0};
  tx_buffer words = {0};
  tx_error error = {0};
  for (size_t i = 0; i < GOLDEN_PAIRS; i++) {
    tx_text spaced, word;
    tx_buffer_clear(&words);
    assert_int_equal(
        tx_mteval_space(&mteval, tx_text_of(golden_pairs[i][0]), &spaced, &error), TX_OK);
    while (tx_mteval_next(&spaced, &word)) {
      if (words.size) assert_true(tx_buffer_append_byte(&words, ' '));
      assert_true(tx_buffer_append(&words, word.data, word.size));
    }
    assert_string_equal(words.data ? words.data : "", golden_pairs[i][2]);
  }
  tx_buffer_free(&words);
  tx_mteval_free(&mteval);
}

/* Every run of every length, counted one by one. */
static void test_overlap(void **state) {
  (void)state;
  static const uint32_t items[] = {1, 2, 1, 2, 1, UINT32_MAX, 2, 1, 2, 2, UINT32_MAX, 2, 1};
  enum { COUNT = sizeof items / sizeof *items, ORDERS = 7 };
  for (size_t left = 0; left <= COUNT; left++) {
    tx_symbols symbols = {0};
    tx_overlap overlaps[ORDERS] = {0};
    tx_error error = {0};
    for (size_t i = 0; i < COUNT; i++) assert_true(tx_symbols_add(&symbols, items[i]));
    assert_int_equal(tx_overlap_add(&symbols, left, ORDERS, overlaps, &error), TX_OK);
    for (size_t n = 1; n <= ORDERS; n++) {
      bool used[COUNT] = {false};
      int64_t both = 0;
      for (size_t i = 0; i + n <= left; i++) {
        for (size_t j = left; j + n <= COUNT; j++) {
          if (used[j] || memcmp(items + i, items + j, n * sizeof *items) != 0) continue;
          used[j] = true;
          both++;
          break;
        }
      }
      size_t right = COUNT - left;
      assert_int_equal(overlaps[n - 1].left, left < n ? 0 : left - n + 1);
      assert_int_equal(overlaps[n - 1].right, right < n ? 0 : right - n + 1);
      assert_int_equal(overlaps[n - 1].both, both);
    }
    tx_symbols_free(&symbols);
  }
}

static void test_odd_bytes(void **state) {
  (void)state;
  const tx_text texts[] = {{"\xff\xfe.\xe2\x82 a\0b", 9}, {"\xff\xfe .\xe2\x82 a\0b", 10}};
  tx_bleu bleu;
  double chrf;
  tx_error error = {0};
  assert_int_equal(tx_bleu_corpus(texts, texts + 1, 1, &bleu, &error), TX_OK);
  assert_int_equal(tx_chrf_corpus(texts, texts + 1, 1, &chrf, &error), TX_OK);
  check(bleu.score, 100, "BLEU", 0);
  check(chrf, 100, "chrF", 0);
  assert_int_equal(tx_bleu_corpus(NULL, NULL, 0, &bleu, &error), TX_OK);
  assert_int_equal(tx_chrf_corpus(NULL, NULL, 0, &chrf, &error), TX_OK);
  assert_true(bleu.score == 0 && chrf == 0);
  const tx_text nothing = {NULL, 0}, huge = {"", (size_t)INT32_MAX + 1};
  assert_int_equal(tx_bleu_corpus(&nothing, &nothing, 1, &bleu, &error), TX_OK);
  assert_int_equal(tx_chrf_corpus(&nothing, &nothing, 1, &chrf, &error), TX_OK);
  assert_int_equal(tx_bleu_corpus(&huge, &nothing, 1, &bleu, &error), TX_ERROR_ARGUMENT);
  error = (tx_error){0};
  assert_int_equal(tx_chrf_corpus(&nothing, &huge, 1, &chrf, &error), TX_ERROR_ARGUMENT);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_golden), cmocka_unit_test(test_words),
                                     cmocka_unit_test(test_overlap),
                                     cmocka_unit_test(test_odd_bytes)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
