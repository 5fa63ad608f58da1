/* A matrix as bytes, its inputs cut into parts of equal length, each of which has
 * scales of its own: a spike then costs the digits of its part and not of the whole
 * row.  y = bias + part 0's product + part 1's + ..., in that order, each by
 * kernels/int8.h: the same bits on every path, any batch. */
#ifndef TX_MODEL_BYTES_H
#define TX_MODEL_BYTES_H

#include "base/parallel.h"
#include "kernels/int8.h"
#include "model/model.h"

/* The fewest parts of at most TX_BYTES_PART inputs, a multiple of 4 each; 1 where the
 * inputs cannot be cut so. */
enum { TX_BYTES_PART = 320 };
int64_t tx_bytes_parts(int64_t inputs);

/* Of the packed matrix and of a quantised row; 0 where it cannot be multiplied so. */
uint64_t tx_bytes_packed(int64_t inputs, int64_t outputs);
uint64_t tx_bytes_row(int64_t inputs);

/* Packs the outputs of one panel, from `first`, a multiple of TX_PANEL, on:
 * weights (rows, inputs), rows <= TX_PANEL. */
void tx_bytes_pack(const tx_int8 *kernels, const float *weights, int64_t inputs, int64_t outputs,
                   int64_t first, int64_t rows, int8_t *packed);

/* x (rows, inputs) into rows * tx_bytes_row(inputs) bytes. */
void tx_bytes_quantise(const tx_int8 *kernels, const float *x, int64_t inputs, int64_t rows,
                       uint8_t *quantised);

/* y (rows, outputs) = the quantised rows . W^T + bias, W being packed at matrix->bytes. */
typedef struct tx_bytes_product {
  const tx_int8 *kernels;
  const tx_matrix *matrix;
  int64_t rows;
  const uint8_t *quantised;
  float *y;
} tx_bytes_product;

void tx_bytes_product_run(const tx_bytes_product *product);

/* The same as a loop, to run beside others (tx_parallel_all); it reads the product. */
tx_loop tx_bytes_product_loop(const tx_bytes_product *product);

#endif
