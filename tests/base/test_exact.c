/* The reproducible elementary functions against the C library's, which is
 * right to within a unit in the last place. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/exact.h"

static void check(double got, double want, double scale) {
  double allowed = 3 * 0x1.0p-53 * fmax(fabs(want), scale);
  if (!(fabs(got - want) <= allowed)) fail_msg("got %.17g, want %.17g", got, want);
}

static void test_exp_and_log(void **state) {
  (void)state;
  for (double x = -700; x < 700; x += 0.3137) check(tx_exp(x), exp(x), 0);
  for (double x = 1e-300; x < 1e300; x *= 1.37) check(tx_log(x), log(x), 0);
  assert_true(tx_exp(-800) == 0 && isinf(tx_exp(800)) && isnan(tx_exp(NAN)));
  assert_true(tx_exp(0) == 1 && tx_log(1) == 0 && isinf(tx_log(0)));
  for (int d = 0; d < 128; d += 2) {
    double want = pow(1e4, -d / 128.0);
    assert_true(fabs(tx_power(1e4, -d / 128.0) - want) <= 1e-14 * want);
  }
}

static void test_sine_and_cosine(void **state) {
  (void)state;
  for (double x = -20; x < 20; x += 0.00917) {
    check(tx_sin(x), sin(x), 0.1);
    check(tx_cos(x), cos(x), 0.1);
  }
  for (double x = 0.37; x < 1e6; x *= 1.0017) {
    check(tx_sin(x), sin(x), 0.5);
    check(tx_cos(x), cos(x), 0.5);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_exp_and_log),
                                     cmocka_unit_test(test_sine_and_cosine)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
