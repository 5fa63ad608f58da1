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

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_wilson), cmocka_unit_test(test_mcnemar),
                                     cmocka_unit_test(test_paired_difference)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
