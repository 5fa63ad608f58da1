/* Arithmetic on plain arrays, one table of functions for each instruction set,
 * chosen once at start-up (TAXON_CPU=generic|avx2|avx512 forces one).
 *
 * Every path gives the same bits.  Two rules make it so:
 *  - an element of a product is summed over its depth in rising order by fused
 *    multiply-add with one accumulator, so tiling, batch and threads cannot
 *    change it;
 *  - a reduction along a vector keeps 16 partial sums (element i goes to sum
 *    i mod 16) and joins them as a tree: 8 apart, 4, 2, 1.
 * The functions are written once over 16 lanes (template.h) and compiled for
 * each path over its own lanes (lanes_*.h).
 *
 * What the arrays mean is left to src/model and src/adapt. */
#ifndef TX_KERNELS_KERNELS_H
#define TX_KERNELS_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum { TX_PANEL = 48 }; /* columns of a packed panel */

/* One step of AdamW (Loshchilov and Hutter, 2019), its constants worked out. */
typedef struct tx_adamw {
  float keep; /* 1 - learning rate * weight decay */
  float rate; /* learning rate / (1 - beta1^step) */
  float beta1, beta2;
  float second_inverse; /* 1 / sqrt(1 - beta2^step) */
  float epsilon;
  float scale; /* of the gradient, from clipping */
} tx_adamw;

/* A softmax over values that come tile by tile (Milakov and Gimelshein, 2018). */
typedef struct tx_running_softmax {
  float max;      /* the greatest value so far; -infinity before the first tile */
  float sums[16]; /* of the exponentials: element i of a tile in sum i mod 16 */
} tx_running_softmax;

typedef struct tx_kernels {
  const char *name; /* "generic", "avx2", "avx512" */

  /* y (rows, columns) = start + x (rows, depth) . panel (depth, columns), columns <= TX_PANEL.
   * x element (m, k) is x[m * x_row + k * x_step]; the panel's row k is panel + k * TX_PANEL,
   * readable to TX_PANEL columns.  start: y itself if `accumulate`, else bias (columns), else 0. */
  void (*product)(int64_t rows, int64_t depth, int64_t columns, const float *x, ptrdiff_t x_row,
                  ptrdiff_t x_step, const float *panel, const float *bias, bool accumulate,
                  float *y, ptrdiff_t y_row);

  float (*dot)(const float *a, const float *b, int64_t count);

  /* values = exp(scale * (values - max)); returns their sum.  count >= 1. */
  float (*softmax_exp)(float *values, int64_t count, float scale);
  /* One more tile: values [from, to) = exp(scale * (values - max)), max over all tiles
   * up to this one, and 0 in the rest of [0, count).  0 <= from < to <= count.  Returns
   * the factor, at most 1, for what was multiplied by exponentials of the tiles before. */
  float (*softmax_tile)(float *values, int64_t count, int64_t from, int64_t to, float scale,
                        tx_running_softmax *running);
  float (*softmax_sum)(const tx_running_softmax *running);
  void (*scale)(float *values, int64_t count, float factor);

  /* y = x / rms(x) * weight, rms over `count`; returns 1 / rms.  x == y is allowed. */
  float (*rms_norm)(const float *x, const float *weight, int64_t count, float epsilon, float *y);
  /* y = (x - mean) / deviation * weight + bias; returns 1 / deviation, and the mean. */
  float (*layer_norm)(const float *x, const float *weight, const float *bias, int64_t count,
                      float epsilon, float *mean, float *y);
  /* dx += gradient through the norm; dweight, dbias += theirs (each may be NULL).
   * `mean` 0 and `centred` false for rms. */
  void (*norm_backward)(const float *x, const float *weight, const float *dy, int64_t count,
                        float mean, float inverse, bool centred, float *dx, float *dweight,
                        float *dbias);

  /* out = silu(gate) * up; gate is kept. */
  void (*silu_gate)(const float *gate, const float *up, int64_t count, float *out);
  /* dgate and dup from dout; each output may be the same array as dout or an input. */
  void (*silu_gate_backward)(const float *gate, const float *up, const float *dout, int64_t count,
                             float *dgate, float *dup);
  /* The tanh form of GELU (Hendrycks and Gimpel, 2016), as GPT-2 uses it. */
  void (*gelu)(const float *x, int64_t count, float *out);
  void (*gelu_backward)(const float *x, const float *dout, int64_t count, float *dx);

  /* first = b1 first + (1 - b1) g, second = b2 second + (1 - b2) g^2, with g scaled;
   * value = value * keep - rate * first / (sqrt(second) * second_inverse + epsilon).
   * The gradient is zero afterwards, ready for the next step. */
  void (*adamw)(const tx_adamw *step, int64_t count, float *gradient, float *first, float *second,
                float *value);

  void (*add)(float *y, const float *x, int64_t count); /* y += x */
  void (*add_scaled)(float *y, const float *x, float factor,
                     int64_t count); /* y += factor * x, fused */
} tx_kernels;

/* The table in use. */
const tx_kernels *tx_kernels_get(void);

/* The table of a path; NULL where this machine cannot run it.  For tests. */
const tx_kernels *tx_kernels_find(const char *name);

/* TX_ERROR_ARGUMENT if TAXON_CPU names an unknown or impossible path. */
tx_status tx_kernels_check(tx_error *error);

extern const tx_kernels tx_kernels_generic, tx_kernels_avx2, tx_kernels_avx512;

#endif
