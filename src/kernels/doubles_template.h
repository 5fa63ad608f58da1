/* The kernels in double, written once over eight lanes and compiled for each
 * path.  Included by doubles_<path>.c, which defines
 *   PART                   doubles in a register
 *   ROW_TILE, COLUMN_TILE  the tile of a dot product, in rows and columns
 *   WIDE_TILE              the runs of eight features in a tile of the gradient
 *   DOUBLES                the table's name
 * Tiles change speed, never a result. */

#include <stdbool.h>
#include <string.h>

#include "kernels/doubles.h"

#if defined(__clang__)
#define UNROLL _Pragma("unroll")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif
#define INLINE static inline __attribute__((always_inline))

enum { LANES = 8, PARTS = LANES / PART };

/* Eight lanes as registers of PART: the compilers turn wider vectors than the
 * processor has into poor code. */
typedef double part __attribute__((vector_size(8 * PART)));
typedef float part_floats __attribute__((vector_size(4 * PART)));
typedef int64_t part_words __attribute__((vector_size(8 * PART)));
typedef struct {
  part of[PARTS];
} eight;

/* Sparse rows come in runs of four lanes. */
enum { QUARTER = PART < 4 ? PART : 4 };
typedef double quarter __attribute__((vector_size(8 * QUARTER)));

/* The next `n` (1..8) floats, the rest 0. */
INLINE eight load_floats(const float *from, int64_t n) {
  float padded[LANES] = {0};
  if (n < LANES) from = memcpy(padded, from, (size_t)n * sizeof *from);
  eight to;
  UNROLL for (int p = 0; p < PARTS; p++) {
    part_floats values;
    memcpy(&values, from + p * PART, sizeof values);
    to.of[p] = __builtin_convertvector(values, part);
  }
  return to;
}

INLINE eight load(const double *from, int64_t n) {
  double padded[LANES] = {0};
  if (n < LANES) from = memcpy(padded, from, (size_t)n * sizeof *from);
  eight to;
  UNROLL for (int p = 0; p < PARTS; p++) memcpy(&to.of[p], from + p * PART, sizeof to.of[p]);
  return to;
}

INLINE void store(double *to, const eight *from, int64_t n) {
  if (n < LANES) {
    memcpy(to, from, (size_t)n * sizeof *to);
  } else {
    UNROLL for (int p = 0; p < PARTS; p++) memcpy(to + p * PART, &from->of[p], sizeof(part));
  }
}

INLINE void add_product(eight *sum, const eight *a, const eight *b) {
  UNROLL for (int p = 0; p < PARTS; p++) sum->of[p] += a->of[p] * b->of[p];
}

INLINE void add_scaled(eight *sum, const eight *a, double by) {
  UNROLL for (int p = 0; p < PARTS; p++) sum->of[p] += a->of[p] * by;
}

/* ---- scores ------------------------------------------------------------ */

INLINE double sum_of(const eight *from) {
  double v[LANES];
  store(v, from, LANES);
  return ((v[0] + v[4]) + (v[2] + v[6])) + ((v[1] + v[5]) + (v[3] + v[7]));
}

INLINE void dot_step(const int rows, const int columns, int64_t at, int64_t n,
                     const float *const *x, int64_t features, const double *weights,
                     eight sum[ROW_TILE][COLUMN_TILE]) {
  eight value[ROW_TILE];
  UNROLL for (int r = 0; r < rows; r++) value[r] = load_floats(x[r] + at, n);
  UNROLL for (int c = 0; c < columns; c++) {
    eight weight = load(weights + c * features + at, n);
    UNROLL for (int r = 0; r < rows; r++) add_product(&sum[r][c], &value[r], &weight);
  }
}

/* `rows` and `columns` are constants at every call, so that sums are registers. */
INLINE void dot_tile(const int rows, const int columns, const float *const *x, int64_t features,
                     const double *weights, double *scores, int64_t stride) {
  eight sum[ROW_TILE][COLUMN_TILE];
  UNROLL for (int r = 0; r < rows; r++) {
    UNROLL for (int c = 0; c < columns; c++) sum[r][c] = (eight){{{0}}};
  }
  int64_t whole = features - features % LANES;
  for (int64_t i = 0; i < whole; i += LANES) {
    dot_step(rows, columns, i, LANES, x, features, weights, sum);
  }
  if (whole < features) {
    dot_step(rows, columns, whole, features - whole, x, features, weights, sum);
  }
  UNROLL for (int r = 0; r < rows; r++) {
    UNROLL for (int c = 0; c < columns; c++) scores[r * stride + c] = sum_of(&sum[r][c]);
  }
}

INLINE void dot_rows(const int rows, const float *const *x, int64_t features, const double *weights,
                     int64_t columns, double *scores) {
  int64_t c = 0;
  for (; c + COLUMN_TILE <= columns; c += COLUMN_TILE) {
    dot_tile(rows, COLUMN_TILE, x, features, weights + c * features, scores + c, columns);
  }
  for (; c < columns; c++) {
    dot_tile(rows, 1, x, features, weights + c * features, scores + c, columns);
  }
}

static void scores_of(const float *const *rows, int64_t count, int64_t features,
                      const double *weights, int64_t columns, double *scores) {
  int64_t r = 0;
  for (; r + ROW_TILE <= count; r += ROW_TILE) {
    dot_rows(ROW_TILE, rows + r, features, weights, columns, scores + r * columns);
  }
  for (; r < count; r++) {
    dot_rows(1, rows + r, features, weights, columns, scores + r * columns);
  }
}

/* ---- gradient ---------------------------------------------------------- */

/* `columns` rows of the gradient, `wide` vectors from feature `at` on; n is the
 * number of features in the last vector. */
INLINE void outer_tile(const int columns, const int wide, int64_t n, const float *const *rows,
                       int64_t count, int64_t features, int64_t at, const double *residuals,
                       int64_t stride, double *gradient) {
  eight sum[COLUMN_TILE][WIDE_TILE];
  UNROLL for (int c = 0; c < columns; c++) {
    UNROLL for (int w = 0; w < wide; w++) {
      sum[c][w] = load(gradient + c * features + at + w * LANES, w == wide - 1 ? n : LANES);
    }
  }
  for (int64_t r = 0; r < count; r++) {
    const double *residual = residuals + r * stride;
    UNROLL for (int w = 0; w < wide; w++) {
      eight value = load_floats(rows[r] + at + w * LANES, w == wide - 1 ? n : LANES);
      UNROLL for (int c = 0; c < columns; c++) add_scaled(&sum[c][w], &value, residual[c]);
    }
  }
  UNROLL for (int c = 0; c < columns; c++) {
    UNROLL for (int w = 0; w < wide; w++) {
      store(gradient + c * features + at + w * LANES, &sum[c][w], w == wide - 1 ? n : LANES);
    }
  }
}

INLINE void outer_columns(const int columns, const float *const *rows, int64_t count,
                          int64_t features, const double *residuals, int64_t stride,
                          double *gradient) {
  int64_t at = 0;
  for (; at + WIDE_TILE * LANES <= features; at += WIDE_TILE * LANES) {
    outer_tile(columns, WIDE_TILE, LANES, rows, count, features, at, residuals, stride, gradient);
  }
  for (; at + LANES <= features; at += LANES) {
    outer_tile(columns, 1, LANES, rows, count, features, at, residuals, stride, gradient);
  }
  if (at < features) {
    outer_tile(columns, 1, features - at, rows, count, features, at, residuals, stride, gradient);
  }
}

static void gradient_of(const float *const *rows, int64_t count, int64_t features,
                        const double *residuals, int64_t columns, double *gradient) {
  int64_t c = 0;
  for (; c + COLUMN_TILE <= columns; c += COLUMN_TILE) {
    outer_columns(COLUMN_TILE, rows, count, features, residuals + c, columns,
                  gradient + c * features);
  }
  for (; c < columns; c++) {
    outer_columns(1, rows, count, features, residuals + c, columns, gradient + c * features);
  }
}

/* ---- sparse ------------------------------------------------------------ */

static double gather_one(const int32_t *index, const float *values, int64_t count,
                         const double *table) {
  double sum[4] = {0};
  int64_t j = 0;
  for (; j + 4 <= count; j += 4) {
    UNROLL for (int k = 0; k < 4; k++) sum[k] += (double)values[j + k] * table[index[j + k]];
  }
  for (int k = 0; j < count; j++, k++) sum[k] += (double)values[j] * table[index[j]];
  return (sum[0] + sum[2]) + (sum[1] + sum[3]);
}

/* `width` runs of four lanes from `table` on, which has rows of `lanes`. */
INLINE void gather_tile(const int width, const int32_t *index, const float *values, int64_t count,
                        const double *table, int64_t lanes, double *out) {
  quarter sum[4 * 4 / QUARTER] = {{0}};
  const int registers = width * 4 / QUARTER;
  UNROLL for (int w = 0; w < registers; w++) sum[w] = (quarter){0};
  for (int64_t j = 0; j < count; j++) {
    const double *row = table + index[j] * lanes;
    double by = values[j];
    UNROLL for (int w = 0; w < registers; w++) {
      quarter value;
      memcpy(&value, row + w * QUARTER, sizeof value);
      sum[w] += value * by;
    }
  }
  UNROLL for (int w = 0; w < registers; w++) memcpy(out + w * QUARTER, &sum[w], sizeof sum[w]);
}

static void gather(const int32_t *index, const float *values, int64_t count, const double *table,
                   int64_t lanes, double *out) {
  if (lanes == 1) {
    *out = gather_one(index, values, count, table);
    return;
  }
  int64_t at = 0;
  for (; at + 16 <= lanes; at += 16) {
    gather_tile(4, index, values, count, table + at, lanes, out + at);
  }
  for (; at + 8 <= lanes; at += 8) {
    gather_tile(2, index, values, count, table + at, lanes, out + at);
  }
  for (; at < lanes; at += 4) gather_tile(1, index, values, count, table + at, lanes, out + at);
}

/* ---- elementary functions ---------------------------------------------- */

/* where ? a : b */
#define CHOOSE(where, a, b) (part)((where & (part_words)(a)) | (~(where) & (part_words)(b)))
#define SET(value) ((part){0} + (value))

/* Range reduction to |r| <= ln 2 / 2, Taylor to r^13 (error below 1e-16). */
INLINE void exp_of(part *to) {
  const double ln2_high = 0x1.62e42fee00000p-1, ln2_low = 0x1.a39ef35793c76p-33;
  const double shift = 0x1.8p52; /* adding it rounds to a whole number, left in the low bits */
  static const double inverse_factorial[] = {0x1.6124613a86d09p-33,
                                             0x1.1eed8eff8d898p-29,
                                             0x1.ae64567f544e4p-26,
                                             0x1.27e4fb7789f5cp-22,
                                             0x1.71de3a556c734p-19,
                                             0x1.a01a01a01a01ap-16,
                                             0x1.a01a01a01a01ap-13,
                                             0x1.6c16c16c16c17p-10,
                                             0x1.1111111111111p-7,
                                             0x1.5555555555555p-5,
                                             0x1.5555555555555p-3,
                                             0.5,
                                             1.0,
                                             1.0};
  part x = *to;
  part_words below = x<-700.0, above = x> 700.0;
  x = CHOOSE(below, SET(-700.0), x);
  x = CHOOSE(above, SET(700.0), x);
  part shifted = x * 0x1.71547652b82fep+0 + shift, n = shifted - shift;
  part r = (x - n * ln2_high) - n * ln2_low;
  part sum = SET(inverse_factorial[0]);
  UNROLL for (int k = 1; k < 14; k++) sum = sum * r + inverse_factorial[k];
  *to = (part)((part_words)sum + ((part_words)shifted << 52));
}

/* x = m 2^k with m in [sqrt(1/2), sqrt(2)); log m by the series of atanh. */
INLINE void log_of(part *to) {
  const double ln2_high = 0x1.62e42fee00000p-1, ln2_low = 0x1.a39ef35793c76p-33;
  static const double inverse_odd[] = {1.0 / 21, 1.0 / 19, 1.0 / 17, 1.0 / 15, 1.0 / 13,
                                       1.0 / 11, 1.0 / 9,  1.0 / 7,  1.0 / 5,  1.0 / 3};
  part_words bits = (part_words)*to;
  part_words k = (bits - 0x3fe6a09e667f3bcd) >> 52; /* not negative, as x >= 1 */
  part m = (part)(bits - (k << 52));
  part exponent = (part)(k | 0x4330000000000000) - 0x1p52;
  part s = (m - 1.0) / (m + 1.0), square = s * s, sum = {0};
  UNROLL for (int i = 0; i < 10; i++) sum = (sum + inverse_odd[i]) * square;
  *to = exponent * ln2_high + (exponent * ln2_low + (2.0 * s + 2.0 * s * sum));
}

static void exp_in_place(double *values, int64_t count) {
  for (int64_t i = 0; i < count; i += LANES) {
    eight x = load(values + i, count - i);
    UNROLL for (int p = 0; p < PARTS; p++) exp_of(&x.of[p]);
    store(values + i, &x, count - i);
  }
}

static void log_in_place(double *values, int64_t count) {
  for (int64_t i = 0; i < count; i += LANES) {
    eight x = load(values + i, count - i);
    UNROLL for (int p = 0; p < PARTS; p++) log_of(&x.of[p]);
    store(values + i, &x, count - i);
  }
}

const tx_doubles DOUBLES = {.scores = scores_of,
                            .gradient = gradient_of,
                            .gather = gather,
                            .exp = exp_in_place,
                            .log = log_in_place};
