/* Every kernel on every path this machine can run, over odd sizes: the same
 * bits as the generic path, and close to plain double arithmetic; products also
 * against OpenBLAS. */
#include <cblas.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/memory.h"
#include "base/parallel.h"
#include "base/random.h"
#include "kernels/product.h"

enum { LARGEST = 4096 };

static const char *const path_names[] = {"avx2", "avx512"};

static void fill(float *values, int64_t count, uint64_t seed) {
  tx_random random = tx_random_seed(seed);
  for (int64_t i = 0; i < count; i++) values[i] = (float)tx_random_normal(&random);
}

static void assert_same_bits(const float *a, const float *b, int64_t count, const char *what) {
  for (int64_t i = 0; i < count; i++) {
    if (memcmp(a + i, b + i, sizeof *a) != 0) {
      fail_msg("%s differs at %ld: %a against %a", what, (long)i, (double)a[i], (double)b[i]);
    }
  }
}

static void test_generic_fma_rounds_once(void **state) {
  (void)state;
  tx_random random = tx_random_seed(5);
  const tx_kernels *generic = &tx_kernels_generic;
  for (int round = 0; round < 200000; round++) {
    uint64_t bits = tx_random_next(&random);
    float a, b, c;
    /* exponents near one another, so that sums cancel and round in every way */
    uint32_t ua = (uint32_t)(bits & 0x807fffff) | (uint32_t)(120 + (bits >> 40) % 16) << 23;
    uint32_t ub = (uint32_t)(bits >> 32 & 0x807fffff) | (uint32_t)(120 + (bits >> 44) % 16) << 23;
    uint64_t more = tx_random_next(&random);
    uint32_t uc = (uint32_t)(more & 0x807fffff) | (uint32_t)(80 + (more >> 40) % 90) << 23;
    memcpy(&a, &ua, 4), memcpy(&b, &ub, 4), memcpy(&c, &uc, 4);
    float got = c, want = fmaf(a, b, c);
    generic->add_scaled(&got, &b, a, 1);
    assert_same_bits(&got, &want, 1, "fma");
  }
  const float special[] = {0.0f, -0.0f, INFINITY, -INFINITY, NAN, 1e-45f, 3e38f, -3e38f, 1.0f};
  for (int i = 0; i < 9 * 9 * 9; i++) {
    float a = special[i % 9], b = special[i / 9 % 9], got = special[i / 81];
    float want = fmaf(a, b, got);
    generic->add_scaled(&got, &b, a, 1);
    if (isnan(want)) {
      assert_true(isnan(got));
    } else {
      assert_same_bits(&got, &want, 1, "fma of special values");
    }
  }
}

static void check_product(const tx_kernels *kernels, int64_t rows, int64_t depth, int64_t columns,
                          bool bias, bool accumulate, bool transposed) {
  float *x = tx_alloc((size_t)(rows * depth) * 4), *b = tx_alloc((size_t)(depth * columns) * 4);
  float *panels = tx_alloc(tx_packed_size(depth, columns) * 4);
  float *start = tx_alloc((size_t)(rows * columns) * 4), *add = tx_alloc((size_t)columns * 4);
  float *want = tx_alloc((size_t)(rows * columns) * 4),
        *got = tx_alloc((size_t)(rows * columns) * 4);
  fill(x, rows * depth, 1), fill(b, depth * columns, 2), fill(start, rows * columns, 3);
  fill(add, columns, 4);
  tx_pack(b, columns, 1, depth, columns, panels);
  tx_product p = {.kernels = &tx_kernels_generic,
                  .rows = rows,
                  .depth = depth,
                  .columns = columns,
                  .x = x,
                  .x_row = transposed ? 1 : depth,
                  .x_step = transposed ? rows : 1,
                  .panels = panels,
                  .bias = bias ? add : NULL,
                  .accumulate = accumulate,
                  .y = want,
                  .y_row = columns};
  memcpy(want, start, (size_t)(rows * columns) * 4);
  tx_set_threads(1);
  tx_product_run(&p);
  for (int threads = 1; threads <= 2; threads++) {
    memcpy(got, start, (size_t)(rows * columns) * 4);
    p.kernels = kernels, p.y = got;
    tx_set_threads(threads);
    tx_product_run(&p);
    assert_same_bits(got, want, rows * columns, kernels->name);
  }
  for (int64_t m = 0; m < rows; m++) { /* a row alone gives the same bits */
    if (m % 7) continue;
    float alone[LARGEST];
    memcpy(alone, start + m * columns, (size_t)columns * 4);
    tx_product single = p;
    single.rows = 1, single.x = x + m * p.x_row, single.y = alone;
    tx_product_run(&single);
    assert_same_bits(alone, want + m * columns, columns, "a row alone");
  }
  tx_set_threads(0);
  for (int64_t m = 0; m < rows; m++) {
    for (int64_t n = 0; n < columns; n++) {
      if (!accumulate) start[m * columns + n] = bias ? add[n] : 0;
    }
  }
  cblas_sgemm(CblasRowMajor, transposed ? CblasTrans : CblasNoTrans, CblasNoTrans, (int)rows,
              (int)columns, (int)depth, 1, x, (int)(transposed ? rows : depth), b, (int)columns, 1,
              start, (int)columns);
  /* The textbook bound of a sum of products (Higham, 2002, 3.1), for either side. */
  for (int64_t i = 0; i < rows * columns; i++) {
    double terms = 2 * fabs((double)start[i]) + 2;
    for (int64_t k = 0; k < depth; k++) {
      terms += fabs((double)x[i / columns * p.x_row + k * p.x_step] *
                    (double)b[k * columns + i % columns]);
    }
    double bound = 2 * sqrt((double)depth + 1) * 0x1p-24 * terms;
    if (!(fabs((double)start[i] - (double)want[i]) <= bound)) {
      fail_msg("%ldx%ldx%ld at %ld: %g, OpenBLAS %g", (long)rows, (long)depth, (long)columns,
               (long)i, (double)want[i], (double)start[i]);
    }
  }
  tx_free(x), tx_free(b), tx_free(panels), tx_free(start), tx_free(add), tx_free(want),
      tx_free(got);
}

static void test_products(void **state) {
  (void)state;
  const int64_t rows[] = {1, 2, 7, 8, 9, 10, 19, 64, 193, 200};
  const int64_t depths[] = {1, 15, 16, 64, 577};
  const int64_t columns[] = {1, 16, 17, 33, 47, 48, 49, 100, 192};
  for (size_t path = 0; path < 2; path++) {
    const tx_kernels *kernels = tx_kernels_find(path_names[path]);
    if (!kernels) continue;
    for (size_t r = 0; r < 10; r++)
      for (size_t d = 0; d < 5; d++)
        for (size_t c = 0; c < 9; c++) {
          if ((r + d + c) % 3) continue; /* a third of the combinations: all pairs stay covered */
          check_product(kernels, rows[r], depths[d], columns[c], r % 2, false, c % 2);
          check_product(kernels, rows[r], depths[d], columns[c], false, true, d % 2);
        }
  }
}

static void test_splitting_the_depth_changes_nothing(void **state) {
  (void)state;
  enum { ROWS = 5, DEPTH = 77, COLUMNS = 50 };
  float x[ROWS * DEPTH], b[DEPTH * COLUMNS], whole[ROWS * COLUMNS], parts[ROWS * COLUMNS] = {0};
  float panels[2 * TX_PANEL * DEPTH];
  fill(x, ROWS * DEPTH, 1), fill(b, DEPTH * COLUMNS, 2);
  tx_product p = {.kernels = tx_kernels_get(),
                  .rows = ROWS,
                  .depth = DEPTH,
                  .columns = COLUMNS,
                  .x = x,
                  .x_row = DEPTH,
                  .x_step = 1,
                  .panels = panels,
                  .y = whole,
                  .y_row = COLUMNS};
  tx_pack(b, COLUMNS, 1, DEPTH, COLUMNS, panels);
  tx_product_run(&p);
  for (int64_t from = 0; from < DEPTH; from += 11) { /* as gradients accumulate over batches */
    tx_pack(b + from * COLUMNS, COLUMNS, 1, 11, COLUMNS, panels);
    p.x = x + from, p.depth = 11, p.accumulate = true, p.y = parts;
    tx_product_run(&p);
  }
  assert_same_bits(parts, whole, ROWS * COLUMNS, "accumulated product");
}

/* Runs everything but products on one path into `out`, in a fixed order. */
static int64_t run_vectors(const tx_kernels *k, int64_t n, float *out) {
  float a[LARGEST], b[LARGEST], w[LARGEST], bias[LARGEST], *o = out;
  fill(a, n, 10), fill(b, n, 11), fill(w, n, 12), fill(bias, n, 13);
  a[0] = 40, a[n / 2] = -95;
  *o++ = k->dot(a, b, n);
  memcpy(o, b, (size_t)n * 4);
  float sum = k->softmax_exp(o, n, 0.125f);
  k->scale(o, n, 1.0f / sum), o += n;
  *o++ = sum;
  tx_running_softmax running = {.max = -INFINITY};
  for (int64_t tile = 0; tile < 3; tile++, o += n + 1) { /* the middle one has the greatest */
    memcpy(o + 1, tile == 1 ? a : b, (size_t)n * 4);
    *o = k->softmax_tile(o + 1, n, tile * n / 7, n - tile * (n / 20), 0.3f, &running);
  }
  memcpy(o, running.sums, sizeof running.sums), o += 16;
  *o++ = running.max, *o++ = k->softmax_sum(&running);
  float inverse = k->rms_norm(a, w, n, 1e-5f, o);
  o += n, *o++ = inverse;
  memset(o, 0, (size_t)(2 * n) * 4);
  k->norm_backward(a, w, b, n, 0, inverse, false, o, o + n, NULL), o += 2 * n;
  float mean;
  inverse = k->layer_norm(a, w, bias, n, 1e-5f, &mean, o), o += n;
  *o++ = inverse, *o++ = mean;
  memset(o, 0, (size_t)(3 * n) * 4);
  k->norm_backward(a, w, b, n, mean, inverse, true, o, o + n, o + 2 * n), o += 3 * n;
  k->silu_gate(a, b, n, o), o += n;
  k->silu_gate_backward(a, b, w, n, o, o + n), o += 2 * n;
  k->gelu(a, n, o), o += n;
  k->gelu_backward(a, b, n, o), o += n;
  tx_adamw step = {0.9995f, 1e-3f, 0.9f, 0.999f, 20.0f, 1e-8f, 0.7f};
  memset(o, 0, (size_t)(2 * n) * 4), memcpy(o + 2 * n, w, (size_t)n * 4);
  for (int round = 0; round < 2; round++) {
    memcpy(o + 3 * n, a, (size_t)n * 4);
    k->adamw(&step, n, o + 3 * n, o, o + n, o + 2 * n);
  }
  for (int64_t i = 0; i < n; i++) assert_true(o[3 * n + i] == 0);
  o += 3 * n;
  memcpy(o, a, (size_t)n * 4), k->add(o, b, n), o += n;
  memcpy(o, a, (size_t)n * 4), k->add_scaled(o, b, 0.37f, n), o += n;
  return o - out;
}

static void test_vector_kernels_agree(void **state) {
  (void)state;
  const int64_t sizes[] = {1, 2, 15, 16, 17, 31, 32, 33, 64, 100, 576, 1001};
  float *want = tx_alloc(28 * LARGEST * 4), *got = tx_alloc(28 * LARGEST * 4);
  for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
    int64_t count = run_vectors(&tx_kernels_generic, sizes[s], want);
    for (size_t path = 0; path < 2; path++) {
      const tx_kernels *kernels = tx_kernels_find(path_names[path]);
      if (!kernels) continue;
      assert_int_equal(run_vectors(kernels, sizes[s], got), count);
      assert_same_bits(got, want, count, kernels->name);
    }
  }
  tx_free(want), tx_free(got);
}

/* Tiles: the first is a softmax of its own, bit for bit; all together are one of the
 * whole, and what is left out of a tile is 0. */
static void test_softmax_in_tiles(void **state) {
  (void)state;
  enum { COUNT = 1000, TILE_KEYS = 240 };
  const tx_kernels *k = tx_kernels_get();
  float scores[COUNT], values[COUNT], weights[TILE_KEYS], first[TILE_KEYS];
  fill(scores, COUNT, 31), fill(values, COUNT, 32);
  for (int64_t i = 0; i < COUNT; i++) scores[i] = 9 * scores[i] + (float)i / 100;
  for (int64_t from = 0; from < 40; from += 13) {
    tx_running_softmax running = {.max = -INFINITY};
    double above = 0, below = 0, out = 0;
    for (int64_t i = from; i < COUNT - 3; i++) {
      double weight = exp(0.25 * ((double)scores[i] - 40));
      above += weight * (double)values[i], below += weight;
    }
    for (int64_t tile = 0; tile < COUNT; tile += TILE_KEYS) {
      int64_t count = COUNT - tile < TILE_KEYS ? COUNT - tile : TILE_KEYS;
      int64_t start = tile ? 0 : from, end = tile + count == COUNT ? count - 3 : count;
      memcpy(weights, scores + tile, (size_t)count * 4), memcpy(first, weights, sizeof first);
      out *= (double)k->softmax_tile(weights, count, start, end, 0.25f, &running);
      for (int64_t i = 0; i < count; i++) {
        if (i < start || i >= end) assert_true(weights[i] == 0);
        out += (double)weights[i] * (double)values[tile + i];
      }
      if (tile > 0 || from > 0) continue;
      float sum = k->softmax_exp(first, count, 0.25f), running_sum = k->softmax_sum(&running);
      assert_same_bits(weights, first, count, "the first tile");
      assert_same_bits(&running_sum, &sum, 1, "its sum");
    }
    assert_true(fabs(out / (double)k->softmax_sum(&running) - above / below) < 1e-5);
  }
}

static void test_exp_is_accurate(void **state) {
  (void)state;
  const tx_kernels *k = tx_kernels_get();
  for (double x = -86; x <= 0; x += 0.0137) {
    float pair[2] = {0, (float)x};
    k->softmax_exp(pair, 2, 1.0f);
    double want = exp((double)(float)x);
    assert_true(fabs(pair[1] - want) <= 1.2e-7 * want);
  }
}

static void check_gradient(double loss_up, double loss_down, double step, float gradient) {
  double numeric = (loss_up - loss_down) / (2 * step);
  if (fabs(numeric - gradient) > 2e-3 * (fabs(numeric) + 1)) {
    fail_msg("finite difference %g, gradient %g", numeric, (double)gradient);
  }
}

typedef void forward_function(const tx_kernels *k, const float *x, const float *w, const float *b,
                              int64_t n, float *y);

static void forward_rms(const tx_kernels *k, const float *x, const float *w, const float *b,
                        int64_t n, float *y) {
  (void)b;
  k->rms_norm(x, w, n, 1e-5f, y);
}
static void forward_layer(const tx_kernels *k, const float *x, const float *w, const float *b,
                          int64_t n, float *y) {
  float mean;
  k->layer_norm(x, w, b, n, 1e-5f, &mean, y);
}
static void forward_silu(const tx_kernels *k, const float *x, const float *w, const float *b,
                         int64_t n, float *y) {
  (void)b;
  k->silu_gate(x, w, n, y);
}
static void forward_gelu(const tx_kernels *k, const float *x, const float *w, const float *b,
                         int64_t n, float *y) {
  (void)w, (void)b;
  k->gelu(x, n, y);
}

static double loss(forward_function *f, const float *x, const float *w, const float *b,
                   const float *dy, int64_t n) {
  float y[64];
  f(tx_kernels_get(), x, w, b, n, y);
  double sum = 0;
  for (int64_t i = 0; i < n; i++) sum += (double)dy[i] * (double)y[i];
  return sum;
}

static void check_against_differences(forward_function *f, float *x, float *w, const float *b,
                                      const float *dy, int64_t n, const float *dx,
                                      const float *dw) {
  for (int64_t i = 0; i < n; i++) {
    for (int which = 0; which < 2; which++) {
      float *place = (which ? w : x) + i, kept = *place;
      if (which ? !dw : !dx) continue;
      *place = kept + 1e-2f;
      double up = loss(f, x, w, b, dy, n), high = *place;
      *place = kept - 1e-2f;
      double down = loss(f, x, w, b, dy, n), low = *place;
      *place = kept;
      check_gradient(up, down, (high - low) / 2, which ? dw[i] : dx[i]);
    }
  }
}

static void test_backward_kernels_by_finite_differences(void **state) {
  (void)state;
  const tx_kernels *k = tx_kernels_get();
  enum { N = 37 };
  float x[N], w[N], b[N], dy[N], y[N], mean;
  fill(x, N, 1), fill(w, N, 2), fill(b, N, 3), fill(dy, N, 4);
  float dx[N] = {0}, dw[N] = {0}, db[N] = {0};
  k->norm_backward(x, w, dy, N, 0, k->rms_norm(x, w, N, 1e-5f, y), false, dx, dw, NULL);
  check_against_differences(forward_rms, x, w, b, dy, N, dx, dw);
  memset(dx, 0, sizeof dx), memset(dw, 0, sizeof dw);
  float inverse = k->layer_norm(x, w, b, N, 1e-5f, &mean, y);
  k->norm_backward(x, w, dy, N, mean, inverse, true, dx, dw, db);
  check_against_differences(forward_layer, x, w, b, dy, N, dx, dw);
  assert_same_bits(db, dy, N, "the bias's gradient");
  k->silu_gate_backward(x, w, dy, N, dx, dw);
  check_against_differences(forward_silu, x, w, b, dy, N, dx, dw);
  k->gelu_backward(x, dy, N, dx);
  check_against_differences(forward_gelu, x, w, b, dy, N, dx, NULL);
}

/* Packing the transpose from the packed form is packing the transpose. */
static void test_packed_and_transposed(void **state) {
  (void)state;
  static const int64_t sizes[] = {1, 2, 47, 48, 49, 96, 131};
  for (size_t a = 0; a < 7; a++) {
    for (size_t b = 0; b < 7; b++) {
      int64_t depth = sizes[a], columns = sizes[b];
      float *matrix = tx_alloc((size_t)(depth * columns) * 4);
      float *panels = tx_alloc(tx_packed_size(depth, columns) * 4);
      float *want = tx_alloc(tx_packed_size(columns, depth) * 4);
      float *have = tx_alloc(tx_packed_size(columns, depth) * 4);
      assert_true(matrix && panels && want && have);
      for (int64_t i = 0; i < depth * columns; i++) matrix[i] = (float)(i + 1);
      memset(have, 0xff, tx_packed_size(columns, depth) * 4);
      tx_pack(matrix, columns, 1, depth, columns, panels);
      tx_pack(matrix, 1, columns, columns, depth, want);
      tx_pack_transposed(panels, depth, columns, have);
      assert_memory_equal(want, have, tx_packed_size(columns, depth) * 4);
      tx_free(matrix), tx_free(panels), tx_free(want), tx_free(have);
    }
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_packed_and_transposed),
      cmocka_unit_test(test_generic_fma_rounds_once),
      cmocka_unit_test(test_products),
      cmocka_unit_test(test_splitting_the_depth_changes_nothing),
      cmocka_unit_test(test_vector_kernels_agree),
      cmocka_unit_test(test_softmax_in_tiles),
      cmocka_unit_test(test_exp_is_accurate),
      cmocka_unit_test(test_backward_kernels_by_finite_differences),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
