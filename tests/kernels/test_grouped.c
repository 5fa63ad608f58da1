/* Grouped products of every type on every path this machine can run: the same bits
 * as a plain definition in C, and close to fp32 products of the dequantised weights;
 * over odd sizes, extremes, rows alone and together, and one thread and two. */
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
#include "formats/gguf.h"
#include "kernels/dequantize.h"
#include "kernels/grouped.h"

enum { LARGEST_DEPTH = 1536, LARGEST_GROUPS = LARGEST_DEPTH / TX_GROUP };

static const char *const path_names[] = {"generic", "avx2", "avx512", "vnni"};
enum { PATHS = sizeof path_names / sizeof *path_names };

static const tx_tensor_type types[] = {TX_TENSOR_Q4_0, TX_TENSOR_Q4_1, TX_TENSOR_Q5_0,
                                       TX_TENSOR_Q8_0, TX_TENSOR_Q4_K, TX_TENSOR_Q6_K};
enum { TYPES = sizeof types / sizeof *types };

static void assert_same_bits(const float *a, const float *b, int64_t count, const char *what) {
  for (int64_t i = 0; i < count; i++) {
    if (memcmp(a + i, b + i, sizeof *a) != 0) {
      fail_msg("%s differs at %ld: %a against %a", what, (long)i, (double)a[i], (double)b[i]);
    }
  }
}

/* ---- a plain definition -------------------------------------------------- */

static float half_value(const unsigned char *at) {
  int bits = at[0] | at[1] << 8, exponent = bits >> 10 & 31, fraction = bits & 1023;
  float size = exponent ? ldexpf((float)(1024 + fraction), exponent - 25)
                        : ldexpf((float)fraction, -24);
  return bits & 0x8000 ? -size : size;
}

/* Sixteen inputs of one output: integers, and what they stand for. */
typedef struct {
  int q[16];
  float scale, least;
} sixteen;

static void read_small(tx_tensor_type type, const unsigned char *b, int64_t half, sixteen *to) {
  int shift = half ? 4 : 0;
  to->scale = half_value(b);
  to->least = type == TX_TENSOR_Q4_1 ? half_value(b + 2) : 0;
  for (int i = 0; i < 16; i++) {
    int at = (int)half * 16 + i;
    switch (type) {
      case TX_TENSOR_Q4_0: to->q[i] = (b[2 + i] >> shift & 15) - 8; break;
      case TX_TENSOR_Q4_1: to->q[i] = b[4 + i] >> shift & 15; break;
      case TX_TENSOR_Q5_0:
        to->q[i] = ((b[6 + i] >> shift & 15) | (b[2 + at / 8] >> at % 8 & 1) << 4) - 16;
        break;
      default: to->q[i] = (int8_t)b[2 + at]; break;
    }
  }
}

static void read_q4_k(const unsigned char *b, int64_t index, sixteen *to) {
  int64_t j = index / 2;
  const unsigned char *s = b + 4;
  int scale = j < 4 ? s[j] & 63 : (s[j + 4] & 15) | s[j - 4] >> 6 << 4;
  int minimum = j < 4 ? s[j + 4] & 63 : s[j + 4] >> 4 | s[j] >> 6 << 4;
  to->scale = half_value(b) * (float)scale;
  to->least = -(half_value(b + 2) * (float)minimum);
  for (int i = 0; i < 16; i++) {
    to->q[i] = b[16 + j / 2 * 32 + index % 2 * 16 + i] >> (j % 2 * 4) & 15;
  }
}

static void read_q6_k(const unsigned char *b, int64_t index, sixteen *to) {
  to->scale = half_value(b + 208) * (float)(int8_t)b[192 + index];
  to->least = 0;
  for (int i = 0; i < 16; i++) {
    int64_t at = index * 16 + i, half = at / 128, in = at % 128;
    int low = b[half * 64 + in % 64] >> (in / 64 * 4) & 15;
    int high = b[128 + half * 32 + in % 32] >> (in / 32 * 2) & 3;
    to->q[i] = (low | high << 4) - 32;
  }
}

static void read_sixteen(tx_tensor_type type, const unsigned char *row, int64_t index,
                         sixteen *to) {
  tx_tensor_type_facts facts;
  assert_true(tx_tensor_type_find(type, &facts));
  int64_t of_block = facts.block / 16;
  const unsigned char *block = row + index / of_block * facts.block_bytes;
  if (type == TX_TENSOR_Q4_K) {
    read_q4_k(block, index % of_block, to);
  } else if (type == TX_TENSOR_Q6_K) {
    read_q6_k(block, index % of_block, to);
  } else {
    read_small(type, block, index % of_block, to);
  }
}

typedef struct {
  float scale;
  int q[32];
} activations;

static void plain_quantise(const float *x, activations *to) {
  float largest = 0;
  for (int i = 0; i < 32; i++) largest = fmaxf(largest, fabsf(x[i]));
  bool zero = largest < 0x1p-100f;
  to->scale = zero ? 0 : largest / 127;
  for (int i = 0; i < 32; i++) to->q[i] = zero ? 0 : (int)rintf(x[i] * (127 / largest));
}

static float plain_product(tx_tensor_type type, const unsigned char *row, const float *x,
                           int64_t depth, float y) {
  for (int64_t g = 0; g < depth / 32; g++) {
    activations a;
    sixteen w[2];
    int dot[2] = {0, 0}, sum = 0;
    plain_quantise(x + g * 32, &a);
    for (int half = 0; half < 2; half++) {
      read_sixteen(type, row, 2 * g + half, &w[half]);
      for (int i = 0; i < 16; i++) {
        dot[half] += w[half].q[i] * a.q[16 * half + i];
        sum += a.q[16 * half + i];
      }
    }
    if (type == TX_TENSOR_Q6_K) {
      y = fmaf(w[0].scale * a.scale, (float)dot[0], y);
      y = fmaf(w[1].scale * a.scale, (float)dot[1], y);
    } else {
      y = fmaf(w[0].scale * a.scale, (float)(dot[0] + dot[1]), y);
    }
    bool has_least = type == TX_TENSOR_Q4_1 || type == TX_TENSOR_Q4_K;
    if (has_least) y = fmaf(w[0].least, a.scale * (float)sum, y);
  }
  return y;
}

/* ---- a matrix and its products ------------------------------------------- */

typedef struct {
  tx_tensor_type type;
  int64_t depth, columns, row_bytes, rows;
  unsigned char *blocks, *panels;
  size_t panel_bytes;
  float *x, *bias, *start, *want, *got;
  tx_group *groups;
} problem;

/* Random bytes, but for the halves, which are kept to ordinary sizes. */
static void fill_blocks(problem *p, uint64_t seed) {
  tx_random random = tx_random_seed(seed);
  tx_tensor_type_facts facts;
  assert_true(tx_tensor_type_find(p->type, &facts));
  int64_t bytes = p->row_bytes * p->columns;
  for (int64_t i = 0; i < bytes; i++) p->blocks[i] = (unsigned char)(tx_random_next(&random) >> 40);
  bool two = p->type == TX_TENSOR_Q4_1 || p->type == TX_TENSOR_Q4_K;
  for (int64_t b = 0; b < bytes; b += facts.block_bytes) {
    unsigned char *halves = p->blocks + b + (p->type == TX_TENSOR_Q6_K ? 208 : 0);
    for (int h = 0; h < (two ? 2 : 1); h++) {
      halves[2 * h + 1] = (unsigned char)((halves[2 * h + 1] & 0x83) | 0x20 | (b % 7 << 2));
      if (b % 11 == 0) halves[2 * h + 1] &= 0x83; /* a subnormal half */
    }
  }
}

static void problem_init(problem *p, tx_tensor_type type, int64_t rows, int64_t depth,
                         int64_t columns) {
  tx_tensor_type_facts facts;
  assert_true(tx_tensor_type_find(type, &facts));
  *p = (problem){.type = type, .depth = depth, .columns = columns, .rows = rows};
  p->row_bytes = depth / facts.block * facts.block_bytes;
  p->blocks = tx_alloc((size_t)(p->row_bytes * columns));
  p->panel_bytes = tx_grouped_packed_bytes(type, depth, columns);
  assert_true(p->panel_bytes > 0 && p->panel_bytes % 64 == 0);
  p->panels = tx_pages_alloc(p->panel_bytes);
  p->x = tx_alloc((size_t)(rows * depth) * sizeof(float));
  p->bias = tx_alloc((size_t)columns * sizeof(float));
  size_t outputs = (size_t)(rows * columns) * sizeof(float);
  p->start = tx_alloc(outputs), p->want = tx_alloc(outputs), p->got = tx_alloc(outputs);
  p->groups = tx_alloc((size_t)(rows * depth / TX_GROUP) * sizeof(tx_group));
  fill_blocks(p, 7);
  tx_random random = tx_random_seed(8);
  for (int64_t i = 0; i < rows * depth; i++) p->x[i] = (float)tx_random_normal(&random);
  for (int64_t i = 0; i < columns; i++) p->bias[i] = (float)tx_random_normal(&random);
  for (int64_t i = 0; i < rows * columns; i++) p->start[i] = (float)tx_random_normal(&random);
}

static void problem_free(problem *p) {
  tx_pages_free(p->panels, p->panel_bytes);
  tx_free(p->blocks), tx_free(p->x), tx_free(p->bias), tx_free(p->start);
  tx_free(p->want), tx_free(p->got), tx_free(p->groups);
}

static void make_want(problem *p, bool bias, bool accumulate) {
  for (int64_t m = 0; m < p->rows; m++) {
    for (int64_t n = 0; n < p->columns; n++) {
      int64_t at = m * p->columns + n;
      float y = accumulate ? p->start[at] : bias ? p->bias[n] : 0;
      p->want[at] = plain_product(p->type, p->blocks + n * p->row_bytes, p->x + m * p->depth,
                                  p->depth, y);
    }
  }
}

static void run(problem *p, const tx_grouped *kernels, bool bias, bool accumulate) {
  memcpy(p->got, p->start, (size_t)(p->rows * p->columns) * sizeof(float));
  tx_grouped_pack(p->type, p->blocks, p->depth, p->columns, p->panels);
  tx_grouped_quantise(kernels, p->x, p->depth, p->rows, p->depth, p->groups);
  tx_grouped_product product = {kernels,   p->type,   p->rows,
                                p->depth,  p->columns, p->groups,
                                p->panels, bias ? p->bias : NULL, accumulate,
                                p->got,    p->columns, 0};
  tx_grouped_product_run(&product);
}

static void check(problem *p, bool bias, bool accumulate) {
  make_want(p, bias, accumulate);
  for (int path = 0; path < PATHS; path++) {
    const tx_grouped *kernels = tx_grouped_find(path_names[path]);
    if (!kernels) continue;
    assert_string_equal(kernels->name, path_names[path]);
    for (int threads = 1; threads <= 2; threads++) {
      tx_set_threads(threads);
      run(p, kernels, bias, accumulate);
      assert_same_bits(p->got, p->want, p->rows * p->columns, path_names[path]);
    }
  }
  tx_set_threads(0);
}

/* ---- the tests ----------------------------------------------------------- */

static void test_every_type_and_path(void **state) {
  (void)state;
  const int64_t depths[] = {32, 64, 256, 576, 1536}, columns[] = {1, 15, 16, 17, 576};
  for (int t = 0; t < TYPES; t++) {
    for (int d = 0; d < 5; d++) {
      if (!tx_grouped_supports(types[t], depths[d])) continue;
      for (int c = 0; c < 5; c++) {
        if (columns[c] == 576 && depths[d] > 256 && t % 2) continue; /* enough at half of them */
        problem p;
        problem_init(&p, types[t], 1, depths[d], columns[c]);
        check(&p, false, false);
        problem_free(&p);
      }
    }
  }
}

static void test_rows_together_are_rows_alone(void **state) {
  (void)state;
  const int64_t rows[] = {2, 3, 7, 16, 33};
  for (int t = 0; t < TYPES; t++) {
    for (int r = 0; r < 5; r++) {
      problem p;
      problem_init(&p, types[t], rows[r], 256, 50);
      check(&p, r % 2 == 0, r == 1); /* the definition knows one row at a time */
      problem_free(&p);
    }
  }
}

static void test_bias_and_accumulation(void **state) {
  (void)state;
  for (int t = 0; t < TYPES; t++) {
    problem p;
    problem_init(&p, types[t], 5, 512, 21);
    check(&p, true, false);
    check(&p, false, true);
    problem_free(&p);
  }
}

/* Every byte of the weights the same, and activations at the ends of their range:
 * sums in 16 bits would saturate, and -128 has no positive twin. */
static void test_extremes(void **state) {
  (void)state;
  const unsigned char bytes[] = {0x00, 0xff, 0x80, 0x7f, 0x88, 0x0f};
  for (int t = 0; t < TYPES; t++) {
    for (int b = 0; b < 6; b++) {
      problem p;
      problem_init(&p, types[t], 4, 256, 16);
      fill_blocks(&p, 9);
      tx_tensor_type_facts facts;
      assert_true(tx_tensor_type_find(types[t], &facts));
      bool last = types[t] == TX_TENSOR_Q6_K; /* its scale follows its values */
      int head = last ? 0 : types[t] == TX_TENSOR_Q4_1 || types[t] == TX_TENSOR_Q4_K ? 4 : 2;
      for (int64_t at = 0; at < p.row_bytes * p.columns; at += facts.block_bytes) {
        memset(p.blocks + at + head, bytes[b], (size_t)(facts.block_bytes - (last ? 2 : head)));
      }
      for (int64_t i = 0; i < p.depth; i++) {
        p.x[i] = 5;
        p.x[p.depth + i] = -5;
        p.x[2 * p.depth + i] = i % 2 ? -5 : 5;
        p.x[3 * p.depth + i] = i % 32 ? 0x1p-30f : 0x1p100f;
      }
      check(&p, false, false);
      problem_free(&p);
    }
  }
}

/* |error| <= sum over groups of half a step of the activations times the sum of
 * |w|, and what fp32 sums lose. */
static void test_error_is_bounded(void **state) {
  (void)state;
  static float w[LARGEST_DEPTH];
  for (int t = 0; t < TYPES; t++) {
    problem p;
    problem_init(&p, types[t], 2, LARGEST_DEPTH, 40);
    run(&p, tx_grouped_get(), false, false);
    double worst = 0;
    for (int64_t i = 0; i < p.rows * p.columns; i++) {
      const float *x = p.x + i / p.columns * p.depth;
      double exact = 0, bound = 0, terms = 0;
      assert_true(tx_dequantize(types[t], p.blocks + i % p.columns * p.row_bytes, p.depth, w));
      for (int64_t g = 0; g < p.depth / 32; g++) {
        double sum = 0, largest = 0;
        for (int64_t k = 32 * g; k < 32 * g + 32; k++) {
          exact += (double)w[k] * (double)x[k];
          terms += fabs((double)w[k] * (double)x[k]);
          sum += fabs((double)w[k]);
          largest = fmax(largest, fabs((double)x[k]));
        }
        bound += sum * largest / 127 * (0.5 + 0x1p-15);
      }
      /* With a least, scale * q and least cancel: both are larger than w. */
      bound += 0x1p-24 * 6 * (double)LARGEST_GROUPS * terms * 32;
      double error = fabs((double)p.got[i] - exact);
      worst = fmax(worst, error / bound);
      if (!(error <= bound)) {
        fail_msg("type %d, output %ld: %g, should be %g +- %g", (int)types[t], (long)i,
                 (double)p.got[i], exact, bound);
      }
    }
    assert_true(worst > 1e-4); /* else the bound says nothing */
    problem_free(&p);
  }
}

static void test_activations(void **state) {
  (void)state;
  static const float values[][2] = {{0, 0},           {0x1p-101f, 0},  {0x1p-100f, -0x1p-107f},
                                    {127, 0.5f},      {127, 1.5f},     {-127, -2.5f},
                                    {0x1.fffffep127f, 1}, {0x1p-149f, 0}, {3, -0.0f}};
  for (int path = 0; path < PATHS; path++) {
    const tx_grouped *kernels = tx_grouped_find(path_names[path]);
    if (!kernels) continue;
    for (size_t v = 0; v < sizeof values / sizeof *values; v++) {
      float x[32] = {0};
      for (int i = 0; i < 32; i++) x[i] = values[v][i % 3 != 0];
      activations want;
      tx_group got;
      plain_quantise(x, &want);
      kernels->quantise(x, 32, &got);
      int sum = 0, first = 0;
      for (int i = 0; i < 32; i++) {
        assert_int_equal(got.q[i], want.q[i]);
        assert_in_range(got.q[i] + 127, 0, 254);
        sum += got.q[i], first += i < 16 ? got.q[i] : 0;
      }
      assert_int_equal(got.minus, -sum);
      assert_int_equal(got.minus_first, -first);
      float scaled = want.scale * (float)sum;
      assert_same_bits(&got.scale, &want.scale, 1, "scale");
      assert_same_bits(&got.scaled_sum, &scaled, 1, "scaled sum");
    }
  }
}

static void test_what_is_not_finite_shows(void **state) {
  (void)state;
  const float bad[] = {NAN, INFINITY, -INFINITY};
  for (int t = 0; t < TYPES; t++) {
    problem p;
    problem_init(&p, types[t], 2, 256, 17);
    for (int b = 0; b < 3; b++) {
      p.x[100] = bad[b];
      for (int path = 0; path < PATHS; path++) {
        const tx_grouped *kernels = tx_grouped_find(path_names[path]);
        if (!kernels) continue;
        run(&p, kernels, false, false);
        for (int n = 0; n < 17; n++) {
          assert_true(isnan(p.got[n]));
          assert_true(isfinite(p.got[17 + n])); /* the other row */
        }
      }
    }
    problem_free(&p);
  }
}

static void test_rows_apart(void **state) { /* strides wider than the rows */
  (void)state;
  problem p;
  problem_init(&p, TX_TENSOR_Q4_1, 3, 64, 18);
  make_want(&p, false, false);
  float x[3 * 70], y[3 * 20];
  for (int i = 0; i < 3 * 20; i++) y[i] = 77;
  for (int m = 0; m < 3; m++) memcpy(x + 70 * m, p.x + 64 * m, 64 * sizeof *x);
  const tx_grouped *kernels = tx_grouped_get();
  tx_grouped_pack(p.type, p.blocks, 64, 18, p.panels);
  tx_grouped_quantise(kernels, x, 70, 3, 64, p.groups);
  tx_grouped_product product = {kernels,  p.type, 3,     64, 18, p.groups,
                                p.panels, NULL,   false, y,  20, 0};
  tx_grouped_product_run(&product);
  for (int m = 0; m < 3; m++) {
    assert_same_bits(y + 20 * m, p.want + 18 * m, 18, "a row apart");
    assert_true(y[20 * m + 18] == 77 && y[20 * m + 19] == 77);
  }
  problem_free(&p);
}

/* Outputs that are missing are written too: packed bytes depend on the file alone. */
static void test_packing_fills_its_panels(void **state) {
  (void)state;
  for (int t = 0; t < TYPES; t++) {
    problem p;
    problem_init(&p, types[t], 1, 512, 19);
    unsigned char *other = tx_alloc(p.panel_bytes);
    memset(other, 0xa5, p.panel_bytes);
    tx_grouped_pack(p.type, p.blocks, p.depth, p.columns, p.panels);
    tx_grouped_pack(p.type, p.blocks, p.depth, p.columns, other);
    assert_memory_equal(p.panels, other, p.panel_bytes);
    tx_free(other);
    problem_free(&p);
  }
}

static void test_what_is_supported(void **state) {
  (void)state;
  for (uint32_t type = 0; type < 64; type++) {
    bool small = type == TX_TENSOR_Q4_0 || type == TX_TENSOR_Q4_1 || type == TX_TENSOR_Q5_0 ||
                 type == TX_TENSOR_Q8_0;
    bool super = type == TX_TENSOR_Q4_K || type == TX_TENSOR_Q6_K;
    assert_int_equal(tx_grouped_supports(type, 256), small || super);
    assert_int_equal(tx_grouped_supports(type, 288), small);
    assert_false(tx_grouped_supports(type, 16) || tx_grouped_supports(type, 250));
    assert_false(tx_grouped_supports(type, 0) || tx_grouped_supports(type, -256));
  }
  /* bytes of 16 outputs and 256 inputs: the file's, but for Q4_K */
  assert_int_equal(tx_grouped_packed_bytes(TX_TENSOR_Q4_0, 256, 16), 16 * 144);
  assert_int_equal(tx_grouped_packed_bytes(TX_TENSOR_Q4_1, 256, 16), 16 * 160);
  assert_int_equal(tx_grouped_packed_bytes(TX_TENSOR_Q5_0, 256, 16), 16 * 176);
  assert_int_equal(tx_grouped_packed_bytes(TX_TENSOR_Q8_0, 256, 16), 16 * 272);
  assert_int_equal(tx_grouped_packed_bytes(TX_TENSOR_Q4_K, 256, 16), 16 * 148);
  assert_int_equal(tx_grouped_packed_bytes(TX_TENSOR_Q6_K, 256, 17), 2 * 16 * 210);
  assert_int_equal(tx_grouped_packed_bytes(TX_TENSOR_Q4_0, 32, 1), 320); /* 288 in lines of 64 */
  assert_int_equal(tx_grouped_packed_bytes(TX_TENSOR_F32, 256, 16), 0);
  assert_int_equal(tx_grouped_packed_bytes(TX_TENSOR_Q4_0, 250, 16), 0);
  assert_int_equal(tx_grouped_packed_bytes(TX_TENSOR_Q4_0, 256, 0), 0);
  assert_int_equal(tx_grouped_packed_bytes(TX_TENSOR_Q8_0, 1 << 30, INT64_MAX), 0);
  assert_int_equal(tx_grouped_packed_bytes(TX_TENSOR_Q8_0, INT64_MAX / 32 * 32, 16), 0);
  assert_null(tx_grouped_find("sse9"));
  assert_non_null(tx_grouped_find("generic"));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_every_type_and_path),
      cmocka_unit_test(test_rows_together_are_rows_alone),
      cmocka_unit_test(test_bias_and_accumulation),
      cmocka_unit_test(test_extremes),
      cmocka_unit_test(test_error_is_bounded),
      cmocka_unit_test(test_activations),
      cmocka_unit_test(test_what_is_not_finite_shows),
      cmocka_unit_test(test_rows_apart),
      cmocka_unit_test(test_packing_fills_its_panels),
      cmocka_unit_test(test_what_is_supported),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
