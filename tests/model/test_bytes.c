/* Matrices as bytes in parts: near the plain product, nearer where there are spikes,
 * and the same bits on every path, for any rows and threads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/random.h"
#include "golden.h"
#include "model/bytes.h"

enum { OUTPUTS = 100, ROWS = 37 };

static void test_parts(void **state) {
  (void)state;
  static const int64_t want[][2] = {{1, 1},   {64, 1},   {70, 1},   {320, 1},  {324, 3},
                                    {576, 2}, {768, 3},  {1536, 6}, {2048, 8}, {1537, 1},
                                    {642, 1}, {4096, 16}};
  for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
    if (tx_bytes_parts(want[i][0]) != want[i][1]) {
      fail_msg("%d inputs: %d parts", (int)want[i][0], (int)tx_bytes_parts(want[i][0]));
    }
  }
  assert_true(tx_bytes_row(576) == 2 * tx_int8_row_bytes(288));
  assert_true(tx_bytes_packed(576, 50) == 2 * tx_int8_packed_bytes(288, 50));
  assert_true(tx_bytes_packed(65537, 50) == 0); /* odd, and deeper than a product may be */
}

typedef struct {
  int64_t inputs;
  float *weights, *x, *bias;
  int8_t *packed;
  uint8_t *quantised;
} fixture;

static fixture make(int64_t inputs) {
  fixture f = {.inputs = inputs};
  tx_random random = tx_random_seed((uint64_t)inputs);
  f.weights = checked_memory((size_t)(OUTPUTS * inputs) * 4);
  f.x = checked_memory((size_t)(ROWS * inputs) * 4);
  f.bias = checked_memory(OUTPUTS * 4);
  for (int64_t i = 0; i < OUTPUTS * inputs; i++) {
    f.weights[i] = (float)tx_random_uniform(&random) - 0.5f;
  }
  for (int64_t i = 0; i < ROWS * inputs; i++) f.x[i] = (float)tx_random_uniform(&random) - 0.3f;
  for (int64_t row = 0; row < ROWS; row += 2) f.x[row * inputs + row] = 50; /* spikes */
  for (int64_t n = 0; n < OUTPUTS; n++) f.bias[n] = (float)n;
  f.packed = aligned_alloc(64, (size_t)tx_bytes_packed(inputs, OUTPUTS));
  f.quantised = aligned_alloc(64, (ROWS * (size_t)tx_bytes_row(inputs) + 63) & ~(size_t)63);
  assert_true(f.packed && f.quantised);
  return f;
}

static void unmake(fixture *f) {
  free(f->weights), free(f->x), free(f->bias), free(f->packed), free(f->quantised);
}

static void multiply(fixture *f, const tx_int8 *kernels, int64_t from, int64_t rows, float *y) {
  tx_matrix matrix = {.outputs = OUTPUTS, .inputs = f->inputs, .bytes = f->packed, .bias = f->bias};
  for (int64_t first = 0; first < OUTPUTS; first += TX_PANEL) {
    int64_t columns = OUTPUTS - first < TX_PANEL ? OUTPUTS - first : TX_PANEL;
    tx_bytes_pack(kernels, f->weights + first * f->inputs, f->inputs, OUTPUTS, first, columns,
                  f->packed);
  }
  tx_bytes_quantise(kernels, f->x + from * f->inputs, f->inputs, rows, f->quantised);
  tx_bytes_product product = {kernels, &matrix, rows, f->quantised, y};
  tx_bytes_product_run(&product);
}

/* The squared error of a row against the plain product, relative to its size. */
static double row_error(const fixture *f, int64_t row, const float *y) {
  double error = 0, size = 0;
  for (int64_t n = 0; n < OUTPUTS; n++) {
    double sum = (double)f->bias[n];
    for (int64_t k = 0; k < f->inputs; k++) {
      sum += (double)f->x[row * f->inputs + k] * (double)f->weights[n * f->inputs + k];
    }
    error += (sum - (double)y[n]) * (sum - (double)y[n]);
    size += (sum - (double)f->bias[n]) * (sum - (double)f->bias[n]);
  }
  return error / size;
}

static void check(int64_t inputs) {
  static const char *const paths[] = {"generic", "avx2", "avx512", "vnni"};
  float want[ROWS * OUTPUTS], got[ROWS * OUTPUTS];
  fixture f = make(inputs);
  multiply(&f, &tx_int8_generic, 0, ROWS, want);
  for (int64_t row = 0; row < ROWS; row++) {
    double error = row_error(&f, row, want + row * OUTPUTS), bound = row % 2 ? 1e-3 : 0.05;
    if (!(error < bound)) fail_msg("%d inputs, row %d: error %g", (int)inputs, (int)row, error);
  }
  for (int path = 0; path < 4; path++) {
    const tx_int8 *kernels = tx_int8_find(paths[path]);
    if (!kernels) continue;
    tx_set_threads(1 + path % 3);
    multiply(&f, kernels, 0, ROWS, got);
    assert_memory_equal(got, want, sizeof want);
    for (int64_t row = 0; row < ROWS; row += 5) {
      multiply(&f, kernels, row, 1, got);
      assert_memory_equal(got, want + row * OUTPUTS, OUTPUTS * sizeof(float));
    }
  }
  tx_set_threads(0);
  unmake(&f);
}

static void test_products(void **state) {
  (void)state;
  static const int64_t inputs[] = {37, 64, 322, 324, 576, 960, 1536};
  for (size_t i = 0; i < sizeof inputs / sizeof *inputs; i++) check(inputs[i]);
}

/* A spike in the first part leaves the second its digits. */
static void test_a_spike_costs_its_part(void **state) {
  (void)state;
  float in_parts[OUTPUTS], whole[OUTPUTS];
  fixture f = make(576);
  for (int64_t n = 0; n < OUTPUTS; n++) f.weights[n * 576] = 0; /* only what is beside it counts */
  multiply(&f, tx_int8_get(), 0, 1, in_parts);
  int8_t *packed = aligned_alloc(64, (size_t)tx_int8_packed_bytes(576, OUTPUTS));
  tx_int8_pack(tx_int8_get(), f.weights, 576, 576, OUTPUTS, packed);
  tx_int8_quantise(tx_int8_get(), f.x, 576, 1, 576, f.quantised);
  tx_int8_product product = {.kernels = tx_int8_get(), .rows = 1, .depth = 576, .columns = OUTPUTS,
                             .x = f.quantised, .panels = packed, .bias = f.bias, .y = whole,
                             .y_row = OUTPUTS};
  tx_int8_product_run(&product);
  assert_true(row_error(&f, 0, in_parts) < 0.7 * row_error(&f, 0, whole));
  free(packed);
  unmake(&f);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_parts),
      cmocka_unit_test(test_products),
      cmocka_unit_test(test_a_spike_costs_its_part),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
