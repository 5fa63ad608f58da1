/* Intervals against statsmodels, McNemar's test against scipy's exact binomial
 * test, and Newcombe's interval against published examples. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "golden/trust.h"
#include "trust/comparison.h"

enum {
  WILSON_CASES = sizeof golden_wilson / sizeof golden_wilson[0],
  MCNEMAR_CASES = sizeof golden_mcnemar / sizeof golden_mcnemar[0]
};

static void check(double got, double want, double allowed) {
  if (!(fabs(got - want) <= allowed)) fail_msg("got %.17g, want %.17g", got, want);
}

static void test_wilson(void **state) {
  (void)state;
  for (int i = 0; i < WILSON_CASES; i++) {
    const double *c = golden_wilson[i];
    tx_interval interval = tx_wilson((int64_t)c[0], (int64_t)c[1]);
    check(interval.lo, c[2], 1e-14);
    check(interval.hi, c[3], 1e-14);
  }
  tx_interval none = tx_wilson(0, 0);
  assert_true(none.lo == 0 && none.hi == 1);
  assert_true(tx_wilson(0, 10).lo == 0 && tx_wilson(10, 10).hi == 1);
}

static void test_mcnemar(void **state) {
  (void)state;
  for (int i = 0; i < MCNEMAR_CASES; i++) {
    const double *c = golden_mcnemar[i];
    double p = tx_mcnemar((int64_t)c[0], (int64_t)c[1]);
    check(p, c[2], c[2] * 1e-8);
    assert_true(p == tx_mcnemar((int64_t)c[1], (int64_t)c[0]));
  }
  assert_true(tx_mcnemar(7, 7) == 1);
  double far = tx_mcnemar(1000000000, 1000100000); /* 2.236 standard errors */
  check(far, erfc(99999 / sqrt(2000100000.0) / sqrt(2)), 1e-7);
}

/* Newcombe 1998, Stat Med 17:2635-2650; Bentur et al. 2009 and its interval
 * (-0.507, -0.026) as in Fagerland, Lydersen and Laake 2014. */
static void test_paired_difference(void **state) {
  (void)state;
  tx_interval interval = tx_paired_difference(36, 12, 2, 0);
  check(interval.lo, 0.0569, 5e-5);
  check(interval.hi, 0.3404, 5e-5);
  interval = tx_paired_difference(1, 1, 7, 12);
  check(interval.lo, -0.507, 5e-4);
  check(interval.hi, -0.026, 5e-4);
  tx_interval other = tx_paired_difference(1, 7, 1, 12);
  check(other.lo, -interval.hi, 1e-15);
  check(other.hi, -interval.lo, 1e-15);
  interval = tx_paired_difference(300, 0, 0, 0);
  assert_true(interval.lo < 0 && interval.hi > 0 && interval.hi < 0.02);
  interval = tx_paired_difference(0, 0, 0, 0);
  assert_true(interval.lo == -1 && interval.hi == 1);
}

/* Differences with the mean `z` standard errors above 0: the normal distribution's
 * upper tail, by the C library's erfc. */
static void test_mean_above_zero(void **state) {
  (void)state;
  enum { ROWS = 400 };
  double differences[ROWS];
  for (double z = 0.01; z < 7; z += 0.17) {
    /* +-1 in equal numbers have the standard error sqrt(1 / (ROWS - 1)). */
    for (int i = 0; i < ROWS; i++) {
      differences[i] = (i % 2 ? 1 : -1) + z / sqrt(ROWS - 1.0);
    }
    double p = tx_mean_above_zero(differences, ROWS);
    check(p, 0.5 * erfc(z / sqrt(2)), 1e-7);
    for (int i = 0; i < ROWS; i++) differences[i] *= 1e-9; /* the unit does not matter */
    check(tx_mean_above_zero(differences, ROWS), p, 1e-12);
    for (int i = 0; i < ROWS; i++) differences[i] = -differences[i];
    assert_true(tx_mean_above_zero(differences, ROWS) == 1);
  }
  /* Known quantiles. */
  for (int i = 0; i < ROWS; i++) {
    differences[i] = (i % 2 ? 1 : -1) + 1.6448536269514722 / sqrt(399.0);
  }
  check(tx_mean_above_zero(differences, ROWS), 0.05, 1e-7);
  for (int i = 0; i < ROWS; i++) {
    differences[i] = (i % 2 ? 1 : -1) + 2.3263478740408408 / sqrt(399.0);
  }
  check(tx_mean_above_zero(differences, ROWS), 0.01, 1e-7);
}

static void test_mean_above_zero_of_little(void **state) {
  (void)state;
  assert_true(tx_mean_above_zero(NULL, 0) == 1);
  assert_true(tx_mean_above_zero((const double[]){5}, 1) == 1);
  assert_true(tx_mean_above_zero((const double[]){0, 0, 0}, 3) == 1);
  assert_true(tx_mean_above_zero((const double[]){2, 2, 2}, 3) == 0); /* without any spread */
  assert_true(tx_mean_above_zero((const double[]){NAN, 1}, 2) == 1);
  check(tx_mean_above_zero((const double[]){0, 2}, 2), 0.5 * erfc(1 / sqrt(2)), 1e-7);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_wilson), cmocka_unit_test(test_mcnemar),
                                     cmocka_unit_test(test_paired_difference),
                                     cmocka_unit_test(test_mean_above_zero),
                                     cmocka_unit_test(test_mean_above_zero_of_little)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
