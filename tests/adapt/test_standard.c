/* Standardised columns against mean and deviation computed plainly. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "adapt/standard.h"
#include "base/random.h"
#include "taxon.h"

enum { ROWS = 131, WIDTH = 150, STRIDE = 157 };

static float from[ROWS * STRIDE];

/* Columns of unlike size and place; 7 does not vary, 8 only by rounding. */
static void make(void) {
  tx_random random = tx_random_seed(4);
  for (int i = 0; i < ROWS * STRIDE; i++) {
    int c = i % STRIDE;
    double x = (c % 5 - 2) * 10 + exp(c % 9 - 4) * tx_random_normal(&random);
    if (c == 7) x = 3.1;
    if (c == 8) x = 1e4 + (i / STRIDE % 2 ? 1e-3 : 0);
    from[i] = (float)x;
  }
}

static void test_mean_and_deviation(void **state) {
  (void)state;
  static float features[ROWS * WIDTH], again[ROWS * WIDTH];
  double mean[WIDTH], inverse[WIDTH];
  make();
  for (int threads = 1; threads <= 3; threads++) {
    tx_set_threads(threads);
    tx_standard_fit(from, STRIDE, ROWS, WIDTH, mean, inverse);
    tx_standard_apply(from, STRIDE, ROWS, WIDTH, mean, inverse, features);
    if (threads > 1) assert_memory_equal(features, again, sizeof features);
    memcpy(again, features, sizeof features);
  }
  tx_set_threads(0);
  for (int c = 0; c < WIDTH; c++) {
    double sum = 0, squares = 0;
    for (int i = 0; i < ROWS; i++) sum += (double)from[i * STRIDE + c];
    for (int i = 0; i < ROWS; i++) squares += pow((double)from[i * STRIDE + c] - sum / ROWS, 2);
    double deviation = sqrt(squares / ROWS);
    assert_true(fabs(mean[c] - sum / ROWS) < 1e-10);
    if (c == 7 || c == 8) {
      assert_true(inverse[c] == 0);
    } else {
      assert_true(fabs(inverse[c] * deviation - 1) < 1e-10);
    }
    for (int i = 0; i < ROWS; i++) {
      double want = c == 7 || c == 8 ? 0 : ((double)from[i * STRIDE + c] - sum / ROWS) / deviation;
      assert_true(fabs((double)features[i * WIDTH + c] - want) < 1e-6 * (1 + fabs(want)));
    }
  }
}

/* As it is used: the features take the place of what they come from. */
static void test_in_place(void **state) {
  (void)state;
  static float features[ROWS * WIDTH];
  double mean[STRIDE], inverse[STRIDE];
  make();
  tx_standard_fit(from, WIDTH, ROWS, WIDTH, mean, inverse);
  tx_standard_apply(from, WIDTH, ROWS, WIDTH, mean, inverse, features);
  tx_standard_apply(from, WIDTH, ROWS, WIDTH, mean, inverse, from);
  assert_memory_equal(from, features, sizeof features);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_mean_and_deviation),
                                     cmocka_unit_test(test_in_place)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
