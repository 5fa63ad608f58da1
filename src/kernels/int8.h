/* Products of bytes: u8 activations by s8 weights, summed exactly in int32 and
 * then given back in fp32.  One table of functions for each instruction set,
 * chosen together with kernels.h; where a processor has AVX-512 but not VNNI,
 * bytes are widened to 16 bits instead.
 *
 * Every path gives the same bits: the integers are exact, so their order does
 * not matter, and the fp32 steps before and after are single operations on one
 * element.  A row's result therefore depends on neither batch nor threads.
 *
 * Activations, each row for itself (asymmetric, so that one-sided rows keep all
 * 8 bits):  with low = min(0, row), high = max(0, row),
 *   scale = high / 255 - low / 255,   zero = round(-low * (1 / scale)),
 *   q = clamp(round(x * (1 / scale) + zero), 0, 255),   x ~ scale * (q - zero),
 * x * (1 / scale) + zero in one rounding, ties to the even q.  0 is always exact.
 *
 * Weights, each output for itself (symmetric):
 *   scale = max|w| / 127,   q = round(w * (1 / scale)),   ties to even.
 *
 *   y[n] = (scale_x * scale_w[n]) * (float)(sum q_x q_w - zero * sum q_w) (+ bias or y)
 *
 * A row or an output whose scale would be below the least normal float counts as
 * zero.  Infinities and NaN do no harm, but their results mean nothing.
 *
 * Which matrices may be multiplied so is left to the model. */
#ifndef TX_KERNELS_INT8_H
#define TX_KERNELS_INT8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/kernels.h"

/* The greatest depth: TX_INT8_DEEPEST * 255 * 127 < 2^31, so no sum overflows. */
enum { TX_INT8_DEEPEST = 65536 };

/* A quantised row: this head, then (depth) u8, then padding of any value. */
typedef struct tx_int8_row {
  float scale;
  int32_t zero;
  int32_t unused[2];
} tx_int8_row;

/* A packed panel: this head, then ceil(depth / 4) groups of (TX_PANEL, 4) s8,
 * where element (n, i) of group g is the weight of output n and input 4 g + i;
 * what stands past the matrix is 0. */
typedef struct tx_int8_panel {
  float scale[TX_PANEL];
  int32_t sum[TX_PANEL]; /* of the output's weights, as bytes */
} tx_int8_panel;

typedef struct tx_int8 {
  const char *name; /* "generic", "avx2", "avx512", "vnni" */

  /* One row x (depth) into `row` (tx_int8_row_bytes(depth)). */
  void (*quantise)(const float *x, int64_t depth, uint8_t *row);

  /* One panel: the weights of `columns` outputs (1..TX_PANEL), output n's inputs at
   * weights + n * stride, (depth) each, into `panel` (tx_int8_panel_bytes(depth)). */
  void (*pack)(const float *weights, ptrdiff_t stride, int64_t depth, int64_t columns,
               int8_t *panel);

  /* y (rows, columns) = start + x (rows, depth) . panel, columns <= TX_PANEL; row m of x
   * at x + m * x_row bytes.  start: y itself if `accumulate`, else bias (columns), else 0. */
  void (*product)(int64_t rows, int64_t depth, int64_t columns, const uint8_t *x, ptrdiff_t x_row,
                  const int8_t *panel, const float *bias, bool accumulate, float *y,
                  ptrdiff_t y_row);
} tx_int8;

/* The table in use, and that of a path (NULL where this machine cannot run it). */
const tx_int8 *tx_int8_get(void);
const tx_int8 *tx_int8_find(const char *name);

/* ---- over all workers ---------------------------------------------------- */

/* Bytes of a quantised row and of a packed panel: multiples of 64; 0 where the
 * depth is not in [1, TX_INT8_DEEPEST], which is how a caller learns that the
 * matrix must stay in fp32. */
uint64_t tx_int8_row_bytes(int64_t depth);
uint64_t tx_int8_panel_bytes(int64_t depth);

/* Bytes of the packed form of weights (columns, depth): panel p, of the outputs
 * from p * TX_PANEL, at p * tx_int8_panel_bytes(depth).  0 when the sizes do not fit. */
uint64_t tx_int8_packed_bytes(int64_t depth, int64_t columns);

/* Quantises rows (rows, depth), x_row floats apart, into caller's memory, aligned to
 * 4 bytes at least, of rows * tx_int8_row_bytes(depth); any number of products may
 * share the result. */
void tx_int8_quantise(const tx_int8 *kernels, const float *x, ptrdiff_t x_row, int64_t rows,
                      int64_t depth, uint8_t *quantised);

/* Packs weights (columns, depth), output n at weights + n * stride.  A loader that
 * expands one panel's outputs at a time calls kernels->pack itself, in its own tasks. */
void tx_int8_pack(const tx_int8 *kernels, const float *weights, ptrdiff_t stride, int64_t depth,
                  int64_t columns, int8_t *panels);

typedef struct tx_int8_product {
  const tx_int8 *kernels;
  int64_t rows, depth, columns;
  const uint8_t *x;     /* (rows) quantised rows, tx_int8_row_bytes(depth) apart */
  const int8_t *panels; /* packed weights (columns, depth) */
  const float *bias;    /* (columns) or NULL */
  bool accumulate;      /* y += instead of y =; excludes bias */
  float *y;             /* element (m, n) at y[m * y_row + n] */
  ptrdiff_t y_row;
} tx_int8_product;

void tx_int8_product_run(const tx_int8_product *product);

extern const tx_int8 tx_int8_generic, tx_int8_avx2, tx_int8_avx512, tx_int8_vnni;

#endif
