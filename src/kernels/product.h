/* Matrix products over all workers, and the packing they need.
 *
 * Packed form of a matrix B (depth, columns): panels of TX_PANEL columns, each
 * (depth, TX_PANEL) row-major, the last one filled up with zeros.  A weight
 * (outputs, inputs) of a linear layer is packed with columns = outputs and
 * depth = inputs: y = x . W^T. */
#ifndef TX_KERNELS_PRODUCT_H
#define TX_KERNELS_PRODUCT_H

#include "base/parallel.h"
#include "kernels/kernels.h"

/* Floats of the packed form; 0 when the sizes do not fit. */
uint64_t tx_packed_size(int64_t depth, int64_t columns);

/* Packs one panel: B element (k, n) is from[k * step + n * column], for n in
 * [0, columns), columns <= TX_PANEL. */
void tx_pack_panel(const float *from, ptrdiff_t step, ptrdiff_t column, int64_t depth,
                   int64_t columns, float *panel);

/* Packs the whole of B, in parallel. */
void tx_pack(const float *from, ptrdiff_t step, ptrdiff_t column, int64_t depth, int64_t columns,
             float *panels);

/* From the packed form of B (depth, columns) that of its transpose (columns, depth), in
 * parallel. */
void tx_pack_transposed(const float *panels, int64_t depth, int64_t columns, float *to);

/* Packs some rows of B: rows [first, first + count), which stand at `rows`,
 * each `columns` long, into the panels of the whole. */
void tx_pack_rows(const float *rows, int64_t first, int64_t count, int64_t depth, int64_t columns,
                  float *panels);

typedef struct tx_product {
  const tx_kernels *kernels;
  int64_t rows, depth, columns;
  const float *x; /* element (m, k) at x[m * x_row + k * x_step] */
  ptrdiff_t x_row, x_step;
  const float *panels; /* packed (depth, columns) */
  const float *bias;   /* (columns) or NULL */
  bool accumulate;     /* y += instead of y =; excludes bias */
  float *y;            /* element (m, n) at y[m * y_row + n] */
  ptrdiff_t y_row;
} tx_product;

void tx_product_run(const tx_product *product);

/* The same as a loop, to run beside others (tx_parallel_all); it reads the product. */
tx_loop tx_product_loop(const tx_product *product);

/* How products are divided into tasks, whatever their type: blocks of rows times
 * panels, numbered from 0. */
typedef struct tx_product_part {
  int64_t row, rows;       /* the block's first row, and how many */
  int64_t column, columns; /* the panel's first column, and how many are in use */
} tx_product_part;

int64_t tx_product_parts(int64_t rows, int64_t columns);
tx_product_part tx_product_part_of(int64_t rows, int64_t columns, int64_t index);

#endif
