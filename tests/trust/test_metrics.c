/* Metrics against scikit-learn's on the same probabilities, and broken input. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "golden/trust.h"
#include "trust/metrics.h"

static void check(double got, double want, double allowed) {
  if (!(fabs(got - want) <= allowed)) fail_msg("got %.17g, want %.17g", got, want);
}

static void test_golden(void **state) {
  (void)state;
  tx_metrics metrics, alone;
  tx_label_counts counts[GOLDEN_LABELS];
  int64_t confusion[GOLDEN_LABELS][GOLDEN_LABELS];
  tx_metrics_compute(golden_probabilities[0], golden_truth, GOLDEN_ROWS, GOLDEN_LABELS, &metrics,
                     counts, confusion[0]);
  tx_metrics_compute(golden_probabilities[0], golden_truth, GOLDEN_ROWS, GOLDEN_LABELS, &alone,
                     NULL, NULL);
  assert_memory_equal(&metrics, &alone, sizeof alone);
  assert_int_equal(metrics.rows, GOLDEN_ROWS);
  const double got[] = {metrics.accuracy, metrics.macro_f1, metrics.nll, metrics.brier,
                        metrics.ece};
  for (int i = 0; i < 5; i++) check(got[i], golden_metrics[i], 1e-12);
  double from_bins = 0;
  int64_t correct = 0, binned = 0;
  for (int i = 0; i < TX_BINS; i++) {
    tx_bin bin = metrics.bins[i];
    from_bins += fabs(bin.confidence - bin.accuracy) * (double)bin.count / GOLDEN_ROWS;
    if (bin.count > 0) assert_true(bin.confidence > i / 15.0 && bin.confidence <= (i + 1) / 15.0);
    binned += bin.count;
  }
  check(from_bins, metrics.ece, 1e-12);
  assert_int_equal(binned, GOLDEN_ROWS);
  for (int i = 0; i < GOLDEN_LABELS; i++) {
    check(tx_label_precision(counts[i]), golden_labels[i][0], 1e-15);
    check(tx_recall(counts[i]), golden_labels[i][1], 1e-15);
    check(tx_f1(counts[i]), golden_labels[i][2], 1e-15);
    check((double)counts[i].support, golden_labels[i][3], 0);
    for (int j = 0; j < GOLDEN_LABELS; j++)
      assert_int_equal(confusion[i][j], golden_confusion[i][j]);
    correct += counts[i].correct;
  }
  assert_int_equal(correct, metrics.correct);
}

static void test_calibration_bins(void **state) {
  (void)state;
  /* One sure and right, one sure and wrong, one at exactly a half. */
  const float rows[][2] = {{1, 0}, {1, 0}, {0.5f, 0.5f}};
  const int32_t truth[] = {0, 1, 0};
  tx_metrics metrics;
  tx_metrics_compute(rows[0], truth, 3, 2, &metrics, NULL, NULL);
  check(metrics.ece, (1.0 + 0.5) / 3, 1e-15);
  for (int i = 0; i < TX_BINS; i++) { /* a half is in the eighth of fifteen, 1 in the last */
    tx_bin want = {0};
    if (i == 7) want = (tx_bin){1, 0.5, 1};
    if (i == TX_BINS - 1) want = (tx_bin){2, 1, 0.5};
    assert_memory_equal(&metrics.bins[i], &want, sizeof want);
  }
  check(metrics.brier, (0 + 2 + 0.5) / 3, 1e-15);
  check(metrics.nll, (0 + 149 * log(2) + log(2)) / 3, 1e-12); /* 0 counts as 2^-149 */
}

static void test_broken_probabilities(void **state) {
  (void)state;
  const float nan = NAN;
  const float rows[][3] = {{nan, nan, nan}, {nan, 0.2f, 0.1f}, {INFINITY, -1, nan}};
  const int32_t truth[] = {0, 1, 0};
  tx_metrics metrics;
  int64_t confusion[3][3];
  tx_metrics_compute(rows[0], truth, 3, 3, &metrics, NULL, confusion[0]);
  assert_int_equal(metrics.correct, 2);
  assert_int_equal(confusion[0][1],
                   1); /* nothing but NaN: a wrong answer, even where label 0 is true */
  assert_true(isfinite(metrics.nll) && isfinite(metrics.brier) && isfinite(metrics.ece));
  assert_int_equal(tx_top_label(rows[0], 3), 0);
  assert_int_equal(tx_top_label(rows[1], 3), 1);
  const float equal[] = {0.25f, 0.375f, 0.375f};
  assert_int_equal(tx_top_label(equal, 3), 1);
}

static void test_no_rows_and_many_labels(void **state) {
  (void)state;
  tx_metrics metrics;
  tx_metrics_compute(NULL, NULL, 0, 3, &metrics, NULL, NULL);
  assert_true(metrics.accuracy == 0 && metrics.macro_f1 == 0 && metrics.nll == 0);
  enum { LABELS = 600 }; /* more than one block of counts */
  static float rows[2][LABELS];
  const int32_t truth[] = {300, 599};
  rows[0][300] = rows[1][2] = 1;
  tx_label_counts counts[LABELS];
  tx_metrics_compute(rows[0], truth, 2, LABELS, &metrics, counts, NULL);
  check(metrics.macro_f1, 1.0 / 3, 1e-15); /* labels 2, 300 and 599 occur */
  assert_true(counts[300].correct == 1 && counts[599].support == 1 && counts[2].predicted == 1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_golden), cmocka_unit_test(test_calibration_bins),
      cmocka_unit_test(test_broken_probabilities), cmocka_unit_test(test_no_rows_and_many_labels)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
