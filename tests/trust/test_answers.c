/* Answers of any number of labels: every figure by hand; and one label a text as it ever was. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "trust/answers.h"

enum { ROWS = 4, LABELS = 3 };

static const float probabilities[ROWS][LABELS] = {
    {0.9f, 0.2f, 0.6f},   /* answers 0 and 2 */
    {0.1f, 0.3f, 0.4f},   /* none */
    {0.5f, 0.8f, 0.25f},  /* 0, at the very half, and 1 */
    {0.05f, 0.7f, 0.95f}, /* 1 and 2 */
};
static const uint8_t marks[ROWS][LABELS] = {{1, 0, 1}, {0, 0, 0}, {0, 1, 0}, {1, 1, 0}};

static void check(double got, double want) {
  if (!(fabs(got - want) <= 1e-7)) fail_msg("got %.17g, want %.17g", got, want);
}

static void test_measures(void **state) {
  (void)state;
  tx_metrics m;
  tx_label_counts counts[LABELS];
  const tx_truth truth = {NULL, marks[0], NULL};
  tx_answers_measure(probabilities[0], truth, ROWS, LABELS, &m, counts, NULL);
  assert_int_equal(m.rows, ROWS);
  assert_int_equal(m.correct, 2);
  check(m.accuracy, 0.5);
  /* label 0: 1 right of 2 answered, 2 there; label 1: 2, 2, 2; label 2: 1, 2, 1 */
  static const int64_t want[LABELS][3] = {{2, 2, 1}, {2, 2, 2}, {1, 2, 1}};
  for (int c = 0; c < LABELS; c++) {
    assert_int_equal(counts[c].support, want[c][0]);
    assert_int_equal(counts[c].predicted, want[c][1]);
    assert_int_equal(counts[c].correct, want[c][2]);
  }
  check(m.macro_f1, (0.5 + 1 + 2.0 / 3) / 3);
  check(m.micro_f1, 2.0 * 4 / (5 + 6));
  double nll = 0, brier = 0, ece = 0;
  for (int i = 0; i < ROWS; i++) {
    for (int c = 0; c < LABELS; c++) {
      double p = (double)probabilities[i][c];
      nll -= log(marks[i][c] ? p : 1 - p) / (ROWS * LABELS);
      brier += pow(p - marks[i][c], 2) / (ROWS * LABELS);
    }
  }
  check(m.nll, nll);
  check(m.brier, brier);
  int64_t decisions = 0;
  for (int b = 0; b < TX_BINS; b++) {
    decisions += m.bins[b].count;
    ece += fabs(m.bins[b].confidence - m.bins[b].accuracy) * (double)m.bins[b].count / 12;
    assert_true(m.bins[b].count == 0 || m.bins[b].confidence >= 0.5 - 1e-7);
  }
  assert_int_equal(decisions, ROWS * LABELS);
  check(m.ece, ece);
  /* 0.95 twice (no, wrong; yes, wrong), 0.9 twice (right) fall into the last two bins */
  assert_int_equal(m.bins[14].count, 2);
  check(m.bins[14].accuracy, 0);
  check(m.bins[14].confidence, 0.95);
}

static void test_rows(void **state) {
  (void)state;
  const tx_truth truth = {NULL, marks[0], NULL};
  static const bool right[ROWS] = {true, true, false, false};
  for (int i = 0; i < ROWS; i++) {
    assert_int_equal(tx_answer_right(probabilities[i], truth, i, LABELS), right[i]);
  }
  check(tx_answer_loss(probabilities[1], truth, 1, LABELS),
        -(log(0.9) + log(0.7) + log(0.6)) / 3);
  assert_true(tx_answers_same(probabilities[0], probabilities[0], true, LABELS));
  assert_false(tx_answers_same(probabilities[0], probabilities[1], true, LABELS));
  /* the top label is the same, the labels that hold are not */
  assert_true(tx_answers_same((const float[]){0.9f, 0.6f}, (const float[]){0.8f, 0.4f}, false, 2));
  assert_false(tx_answers_same((const float[]){0.9f, 0.6f}, (const float[]){0.8f, 0.4f}, true, 2));
}

static void test_one_label(void **state) {
  (void)state;
  const int32_t labels[ROWS] = {0, 2, 1, 2};
  const tx_truth truth = {labels, NULL, NULL};
  tx_metrics want, got;
  int64_t confusion[2][LABELS * LABELS];
  tx_metrics_compute(probabilities[0], labels, ROWS, LABELS, &want, NULL, confusion[0]);
  tx_answers_measure(probabilities[0], truth, ROWS, LABELS, &got, NULL, confusion[1]);
  assert_memory_equal(&got, &want, sizeof got);
  assert_memory_equal(confusion[0], confusion[1], sizeof confusion[0]);
  check(got.micro_f1, got.accuracy);
  for (int i = 0; i < ROWS; i++) assert_true(tx_answer_right(probabilities[i], truth, i, LABELS));
  check(tx_answer_loss(probabilities[2], truth, 2, LABELS), -log(0.8));
}

/* Nothing that is no number comes out of what is none. */
static void test_broken(void **state) {
  (void)state;
  const float broken[2][2] = {{NAN, 2}, {-1, INFINITY}};
  const uint8_t truths[2][2] = {{1, 0}, {0, 0}};
  tx_metrics m;
  tx_answers_measure(broken[0], (tx_truth){NULL, truths[0], NULL}, 2, 2, &m, NULL, NULL);
  assert_true(isfinite(m.nll) && isfinite(m.brier) && isfinite(m.ece) && isfinite(m.micro_f1));
  tx_answers_measure(NULL, (tx_truth){NULL, truths[0], NULL}, 0, 2, &m, NULL, NULL);
  assert_true(m.accuracy == 0 && m.nll == 0 && m.ece == 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_measures), cmocka_unit_test(test_rows),
                                     cmocka_unit_test(test_one_label),
                                     cmocka_unit_test(test_broken)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
