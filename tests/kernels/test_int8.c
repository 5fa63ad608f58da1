/* Byte products on every path this machine can run, over odd sizes: the same
 * bits as their definition in plain C, and close to fp32. */
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdalign.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/memory.h"
#include "base/parallel.h"
#include "base/random.h"
#include "kernels/int8.h"

static const char *const path_names[] = {"generic", "avx2", "avx512", "vnni"};
enum { PATHS = 4, MOST_ROWS = 20, MOST_DEPTH = 1537, MOST_COLUMNS = 577 };

static void fill(float *values, int64_t count, uint64_t seed) {
  tx_random random = tx_random_seed(seed);
  for (int64_t i = 0; i < count; i++) values[i] = (float)tx_random_normal(&random);
}

/* ---- the definition ------------------------------------------------------ */

static float inverse_of(float *scale) {
  if (*scale < FLT_MIN) *scale = 0;
  return *scale > 0 ? 1 / *scale : 0;
}

/* The bytes of a row, its scale and its zero point. */
static void define_row(const float *x, int64_t depth, uint8_t *bytes, float *scale,
                       int32_t *zero) {
  float low = 0, high = 0;
  for (int64_t k = 0; k < depth; k++) low = fminf(low, x[k]), high = fmaxf(high, x[k]);
  *scale = high / 255 - low / 255;
  float inverse = inverse_of(scale);
  *zero = (int32_t)rintf(-low * inverse);
  for (int64_t k = 0; k < depth; k++) {
    long double q = rintl((long double)x[k] * inverse + *zero);
    bytes[k] = (uint8_t)(q < 0 ? 0 : q > 255 ? 255 : q);
  }
}

static void define_output(const float *weights, int64_t depth, int8_t *bytes, float *scale) {
  float most = 0;
  for (int64_t k = 0; k < depth; k++) most = fmaxf(most, fabsf(weights[k]));
  *scale = most / 127;
  float inverse = inverse_of(scale);
  for (int64_t k = 0; k < depth; k++) {
    long double q = rintl((long double)weights[k] * inverse);
    bytes[k] = (int8_t)(q < -127 ? -127 : q > 127 ? 127 : q);
  }
}

/* x (rows, depth), weights (columns, depth), bias (columns) or NULL,
 * start (rows, columns), what y was, or NULL */
typedef struct {
  int64_t rows, depth, columns;
  const float *x, *weights, *bias, *start;
} problem;

static void define_product(const problem *p, float *y) {
  uint8_t *x = tx_alloc((size_t)(p->rows * p->depth));
  int8_t *w = tx_alloc((size_t)p->depth);
  float *scales = tx_alloc((size_t)p->rows * 4), scale;
  int32_t *zeros = tx_alloc((size_t)p->rows * 4);
  for (int64_t m = 0; m < p->rows; m++) {
    define_row(p->x + m * p->depth, p->depth, x + m * p->depth, &scales[m], &zeros[m]);
  }
  for (int64_t n = 0; n < p->columns; n++) {
    define_output(p->weights + n * p->depth, p->depth, w, &scale);
    for (int64_t m = 0; m < p->rows; m++) {
      int64_t sum = 0, all = 0;
      for (int64_t k = 0; k < p->depth; k++) {
        sum += x[m * p->depth + k] * w[k];
        all += w[k];
      }
      float both = scales[m] * scale, value = both * (float)(sum - zeros[m] * all);
      if (p->bias) value += p->bias[n];
      if (p->start) value += p->start[m * p->columns + n];
      y[m * p->columns + n] = value;
    }
  }
  tx_free(x), tx_free(w), tx_free(scales), tx_free(zeros);
}

/* ---- the kernels --------------------------------------------------------- */

static void run_product(const tx_int8 *kernels, const problem *p, float *y) {
  uint64_t packed = tx_int8_packed_bytes(p->depth, p->columns);
  uint64_t bytes = (uint64_t)p->rows * tx_int8_row_bytes(p->depth);
  int8_t *panels = tx_alloc(packed);
  uint8_t *x = tx_alloc(bytes);
  memset(panels, 0x55, packed), memset(x, 0x55, bytes); /* padding must not be seen */
  tx_int8_pack(kernels, p->weights, p->depth, p->depth, p->columns, panels);
  tx_int8_quantise(kernels, p->x, p->depth, p->rows, p->depth, x);
  if (p->start) memcpy(y, p->start, (size_t)(p->rows * p->columns) * 4);
  tx_int8_product product = {.kernels = kernels,
                             .rows = p->rows,
                             .depth = p->depth,
                             .columns = p->columns,
                             .x = x,
                             .panels = panels,
                             .bias = p->bias,
                             .accumulate = p->start != NULL,
                             .y = y,
                             .y_row = p->columns};
  tx_int8_product_run(&product);
  tx_free(panels), tx_free(x);
}

static void check_on_all_paths(const problem *p) {
  size_t bytes = (size_t)(p->rows * p->columns) * 4;
  float *want = tx_alloc(bytes), *got = tx_alloc(bytes);
  define_product(p, want);
  for (int path = 0; path < PATHS; path++) {
    const tx_int8 *kernels = tx_int8_find(path_names[path]);
    if (!kernels) continue;
    for (int threads = 1; threads <= 2; threads++) {
      tx_set_threads(threads);
      memset(got, 0x55, bytes);
      run_product(kernels, p, got);
      for (int64_t i = 0; i < p->rows * p->columns; i++) {
        if (memcmp(want + i, got + i, 4) == 0) continue;
        fail_msg("%s, %ldx%ldx%ld, %d threads, at %ld: %a, not %a", kernels->name, (long)p->rows,
                 (long)p->depth, (long)p->columns, threads, (long)i, (double)got[i],
                 (double)want[i]);
      }
    }
  }
  tx_set_threads(0);
  tx_free(want), tx_free(got);
}

static void test_products_are_their_definition(void **state) {
  (void)state;
  const int64_t depths[] = {1, 3, 4, 5, 63, 576, 1537};
  const int64_t columns[] = {1, 15, 16, 47, 48, 49, 192, 577};
  float *x = tx_alloc(MOST_ROWS * MOST_DEPTH * 4), *bias = tx_alloc(MOST_COLUMNS * 4);
  float *weights = tx_alloc(MOST_COLUMNS * MOST_DEPTH * 4);
  float *start = tx_alloc(MOST_ROWS * MOST_COLUMNS * 4);
  fill(x, MOST_ROWS * MOST_DEPTH, 1), fill(weights, MOST_COLUMNS * MOST_DEPTH, 2);
  fill(bias, MOST_COLUMNS, 3), fill(start, MOST_ROWS * MOST_COLUMNS, 4);
  for (int64_t rows = 1; rows <= MOST_ROWS; rows++)
    for (int64_t d = 0; d < 7; d++)
      for (int64_t c = 0; c < 8; c++) {
        int64_t turn = rows + d + 3 * c; /* a fifth of the large ones: all pairs stay covered */
        bool small = depths[d] * columns[c] < 4000;
        if (!small && turn % 5) continue;
        problem p = {.rows = rows, .depth = depths[d], .columns = columns[c], .x = x,
                     .weights = weights};
        if (turn % 3 == 1) p.bias = bias;
        if (turn % 3 == 2) p.start = start;
        check_on_all_paths(&p);
      }
  tx_free(x), tx_free(weights), tx_free(bias), tx_free(start);
}

static void test_many_rows_in_blocks(void **state) {
  (void)state;
  enum { ROWS = 401, DEPTH = 37, COLUMNS = 100 };
  float *x = tx_alloc(ROWS * DEPTH * 4), *weights = tx_alloc(COLUMNS * DEPTH * 4);
  fill(x, ROWS * DEPTH, 1), fill(weights, COLUMNS * DEPTH, 2);
  check_on_all_paths(&(problem){ROWS, DEPTH, COLUMNS, x, weights, NULL, NULL});
  tx_free(x), tx_free(weights);
}

/* All 255 by all 127 and -127, at the greatest depth: the sums reach 2122383360
 * and may not saturate or overflow on the way. */
static void test_extremes_are_exact(void **state) {
  (void)state;
  enum { ROWS = 2, COLUMNS = 3 };
  const int64_t depth = TX_INT8_DEEPEST;
  float *x = tx_alloc((size_t)(ROWS * depth) * 4);
  float *weights = tx_alloc((size_t)(COLUMNS * depth) * 4);
  for (int64_t k = 0; k < depth; k++) {
    x[k] = 255, x[depth + k] = -255;
    weights[k] = 127, weights[depth + k] = -127, weights[2 * depth + k] = k % 2 ? 127 : -127;
  }
  const float most = 255.0f * 127.0f * TX_INT8_DEEPEST;
  const float want[] = {most, -most, 0, -most, most, 0};
  for (int path = 0; path < PATHS; path++) {
    const tx_int8 *kernels = tx_int8_find(path_names[path]);
    float y[ROWS * COLUMNS];
    if (!kernels) continue;
    run_product(kernels, &(problem){ROWS, depth, COLUMNS, x, weights, NULL, NULL}, y);
    for (int i = 0; i < ROWS * COLUMNS; i++) assert_true(y[i] == want[i]);
  }
  check_on_all_paths(&(problem){ROWS, depth, COLUMNS, x, weights, NULL, NULL});
  tx_free(x), tx_free(weights);
}

/* ---- rows and outputs of their own kind ---------------------------------- */

enum { DEPTH = 21 };

static void check_row(const float *x) {
  uint8_t want[DEPTH];
  float scale;
  int32_t zero;
  define_row(x, DEPTH, want, &scale, &zero);
  for (int path = 0; path < PATHS; path++) {
    const tx_int8 *kernels = tx_int8_find(path_names[path]);
    uint8_t row[256];
    tx_int8_row head;
    if (!kernels) continue;
    assert_true(tx_int8_row_bytes(DEPTH) <= sizeof row);
    kernels->quantise(x, DEPTH, row);
    memcpy(&head, row, sizeof head);
    assert_memory_equal(&head.scale, &scale, 4);
    assert_int_equal(head.zero, zero);
    assert_memory_equal(row + sizeof head, want, DEPTH);
    for (int k = 0; k < DEPTH; k++) { /* 0 is exact, the rest within half a step */
      double back = (double)scale * (want[k] - zero);
      if (x[k] == 0) assert_int_equal(want[k], zero);
      assert_true(fabs(back - (double)x[k]) <= 0.5001 * (double)scale + 255 * (double)FLT_MIN);
    }
  }
}

static void test_rows_of_every_kind(void **state) {
  (void)state;
  const float ends[][2] = {{0, 0},          {3, 3},
                           {-3, -3},        {0, 255},
                           {-255, 0},       {-1, 1},
                           {1e-3f, 1e6f},   {-1e-40f, 1e-40f},
                           {-0.0f, 0.0f},   {-127.5f, 127.5f},
                           {0, FLT_MIN * 254}, {0, FLT_MIN * 255},
                           {-FLT_MAX, FLT_MAX}};
  for (size_t e = 0; e < sizeof ends / sizeof *ends; e++) {
    float x[DEPTH];
    for (int k = 0; k < DEPTH; k++) {
      float part = (float)k / (DEPTH - 1);
      x[k] = ends[e][0] * (1 - part) + ends[e][1] * part;
    }
    check_row(x);
    for (int k = 0; k < DEPTH; k++) x[k] = k % 2 ? ends[e][0] : ends[e][1];
    check_row(x);
    x[DEPTH / 2] = 0;
    check_row(x);
  }
}

/* With a step of exactly 1, halves go to the even byte on every path. */
static void test_ties_go_to_even(void **state) {
  (void)state;
  float x[DEPTH];
  for (int k = 0; k < DEPTH; k++) x[k] = (float)k + 0.5f;
  x[0] = 0, x[1] = 255;
  check_row(x);
  for (int path = 0; path < PATHS; path++) {
    const tx_int8 *kernels = tx_int8_find(path_names[path]);
    uint8_t row[256];
    if (!kernels) continue;
    kernels->quantise(x, DEPTH, row);
    const uint8_t *bytes = row + sizeof(tx_int8_row);
    for (int k = 2; k < DEPTH; k++) assert_int_equal(bytes[k], (k + 1) / 2 * 2);
  }
}

/* What the model refuses at load may not harm: the same bytes everywhere. */
static void test_not_finite_is_harmless(void **state) {
  (void)state;
  const float odd[] = {NAN, INFINITY, -INFINITY};
  for (int o = 0; o < 3; o++) {
    alignas(64) uint8_t rows[PATHS][256] = {{0}};
    for (int path = 0; path < PATHS; path++) {
      const tx_int8 *kernels = tx_int8_find(path_names[path]);
      alignas(64) int8_t panel[2048];
      float x[DEPTH], y[TX_PANEL];
      if (!kernels) continue;
      fill(x, DEPTH, 1);
      x[4] = x[17] = odd[o];
      kernels->quantise(x, DEPTH, rows[path]);
      assert_memory_equal(rows[path], rows[0], sizeof(tx_int8_row) + DEPTH);
      assert_true(tx_int8_panel_bytes(DEPTH) <= sizeof panel);
      kernels->pack(x, 0, DEPTH, 2, panel);
      kernels->product(1, DEPTH, 2, rows[path], 256, panel, NULL, false, y, TX_PANEL);
    }
  }
}

static void test_zero_outputs_and_rows(void **state) {
  (void)state;
  enum { ROWS = 3, COLUMNS = 4 };
  float x[ROWS * DEPTH], weights[COLUMNS * DEPTH], bias[COLUMNS], y[ROWS * COLUMNS];
  fill(x, ROWS * DEPTH, 1), fill(weights, COLUMNS * DEPTH, 2), fill(bias, COLUMNS, 3);
  memset(x + DEPTH, 0, DEPTH * 4), memset(weights + 2 * DEPTH, 0, DEPTH * 4);
  problem p = {ROWS, DEPTH, COLUMNS, x, weights, bias, NULL};
  check_on_all_paths(&p);
  for (int path = 0; path < PATHS; path++) {
    const tx_int8 *kernels = tx_int8_find(path_names[path]);
    if (!kernels) continue;
    run_product(kernels, &p, y);
    for (int n = 0; n < COLUMNS; n++) assert_true(y[COLUMNS + n] == bias[n]);
    for (int m = 0; m < ROWS; m++) assert_true(y[m * COLUMNS + 2] == bias[2]);
  }
}

/* ||y - y in double|| / ||y in double|| */
static double error_of(const problem *p) {
  float *y = tx_alloc((size_t)(p->rows * p->columns) * 4);
  double wrong = 0, right = 0;
  run_product(tx_int8_get(), p, y);
  for (int64_t m = 0; m < p->rows; m++) {
    for (int64_t n = 0; n < p->columns; n++) {
      double sum = 0;
      for (int64_t k = 0; k < p->depth; k++) {
        sum += (double)p->x[m * p->depth + k] * (double)p->weights[n * p->depth + k];
      }
      double away = (double)y[m * p->columns + n] - sum;
      wrong += away * away, right += sum * sum;
    }
  }
  tx_free(y);
  return sqrt(wrong / right);
}

/* Either side's rounding is uniform within its step, so with uniform data in
 * [-1, 1] the error is sqrt(1 / 255^2 + 1 / 254^2) = 0.0056; normal data, whose
 * range at this depth is 3.1 deviations to a side, give 3.1 / sqrt(3) times that. */
static void test_error_against_fp32(void **state) {
  (void)state;
  enum { ROWS = 16, DEEP = 576, COLUMNS = 96 };
  float *x = tx_alloc(ROWS * DEEP * 4), *weights = tx_alloc(COLUMNS * DEEP * 4);
  problem p = {ROWS, DEEP, COLUMNS, x, weights, NULL, NULL};
  tx_random random = tx_random_seed(1);
  for (int i = 0; i < ROWS * DEEP; i++) x[i] = (float)(2 * tx_random_uniform(&random) - 1);
  for (int i = 0; i < COLUMNS * DEEP; i++) weights[i] = (float)(2 * tx_random_uniform(&random) - 1);
  double uniform = error_of(&p);
  fill(x, ROWS * DEEP, 1), fill(weights, COLUMNS * DEEP, 2);
  double normal = error_of(&p);
  if (!(uniform < 0.006 && normal < 0.0105)) fail_msg("%g and %g", uniform, normal);
  assert_true(uniform > 0.005 && normal > 0.008); /* the bytes were used */
  tx_free(x), tx_free(weights);
}

/* ---- sizes and paths ----------------------------------------------------- */

static void test_sizes(void **state) {
  (void)state;
  assert_int_equal(tx_int8_row_bytes(0), 0);
  assert_int_equal(tx_int8_row_bytes(TX_INT8_DEEPEST + 1), 0);
  assert_int_equal(tx_int8_panel_bytes(-1), 0);
  assert_int_equal(tx_int8_panel_bytes(TX_INT8_DEEPEST + 1), 0);
  assert_int_equal(tx_int8_packed_bytes(TX_INT8_DEEPEST + 1, 48), 0);
  assert_int_equal(tx_int8_packed_bytes(4, 0), 0);
  assert_int_equal(tx_int8_packed_bytes(TX_INT8_DEEPEST, INT64_MAX), 0);
  assert_true(tx_int8_row_bytes(TX_INT8_DEEPEST) > TX_INT8_DEEPEST);
  assert_int_equal(tx_int8_panel_bytes(5), sizeof(tx_int8_panel) + 8 * TX_PANEL);
  assert_int_equal(tx_int8_packed_bytes(5, 49), 2 * tx_int8_panel_bytes(5));
  for (int64_t depth = 1; depth < 200; depth++) {
    assert_int_equal(tx_int8_row_bytes(depth) % 64, 0);
    assert_int_equal(tx_int8_panel_bytes(depth) % 64, 0);
    assert_true(tx_int8_row_bytes(depth) >= sizeof(tx_int8_row) + ((uint64_t)depth + 15) / 16 * 16);
  }
}

static void test_paths(void **state) {
  (void)state;
  assert_null(tx_int8_find("sse"));
  assert_ptr_equal(tx_int8_find("generic"), &tx_int8_generic);
  assert_non_null(tx_int8_get());
  for (int path = 0; path < PATHS; path++) {
    const tx_int8 *kernels = tx_int8_find(path_names[path]);
    if (kernels) assert_string_equal(kernels->name, path_names[path]);
    if (path < 3) assert_true(!kernels == !tx_kernels_find(path_names[path]));
  }
  const char *path = tx_kernels_get()->name;
  bool best = strcmp(path, "avx512") == 0 && tx_int8_find("vnni");
  assert_string_equal(tx_int8_get()->name, best ? "vnni" : path);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_products_are_their_definition),
      cmocka_unit_test(test_many_rows_in_blocks),
      cmocka_unit_test(test_extremes_are_exact),
      cmocka_unit_test(test_rows_of_every_kind),
      cmocka_unit_test(test_ties_go_to_even),
      cmocka_unit_test(test_not_finite_is_harmless),
      cmocka_unit_test(test_zero_outputs_and_rows),
      cmocka_unit_test(test_error_against_fp32),
      cmocka_unit_test(test_sizes),
      cmocka_unit_test(test_paths),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
