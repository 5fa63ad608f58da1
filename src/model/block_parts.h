/* What the files of a block share: block.c runs it forward, block_backward.c its gradient,
 * rows.c the work on single rows, adapters.c what is added beside its matrices. */
#ifndef TX_MODEL_BLOCK_PARTS_H
#define TX_MODEL_BLOCK_PARTS_H

#include "kernels/product.h"
#include "model/pass.h"

/* (rows, width) floats of the pass's arena; `failed` becomes true where there are none. */
float *tx_take_rows(tx_pass *pass, int64_t rows, int64_t width, bool *failed);

/* y (rows, columns) = or, to accumulate, += x (rows, depth) . panels. */
void tx_multiply_rows(tx_pass *pass, const float *x, int64_t rows, int64_t depth, int64_t columns,
                      const float *panels, bool accumulate, float *y);
/* dW (columns, depth) += dy (rows, columns)^T . x (rows, depth). */
tx_status tx_multiply_transposed(tx_pass *pass, const float *x, const float *dy, int64_t rows,
                                 int64_t depth, int64_t columns, float *dweight, tx_error *error);

void tx_add_rows(tx_pass *pass, int64_t rows, int64_t width, float *y, const float *x);
void tx_gather_rows(const tx_wanted *wanted, int64_t width, const float *from, float *to);

/* Memory for the half of a tape that tx_tape_slim() lets go. */
tx_status tx_tape_lay_out_rest(tx_pass *pass, int64_t tokens, const tx_wanted *wanted,
                               tx_tape *tape, tx_error *error);

/* On a tape whose memory is laid out: the half that tx_tape_slim() lets go. */
void tx_norm_attention(tx_pass *pass, const tx_block *block, const tx_batch *batch,
                       const tx_wanted *wanted, tx_tape *tape);
void tx_norm_mlp(tx_pass *pass, const tx_block *block, int64_t rows, tx_tape *tape);
void tx_activate(tx_pass *pass, int64_t rows, tx_tape *tape);
/* dactive (rows, F) becomes the gradient at `up`; dgate (rows, F) where gated is written. */
void tx_activate_backward(tx_pass *pass, int64_t rows, const tx_tape *tape, float *dactive,
                          float *dgate);

/* What a product of a block reads and writes: x (rows, inputs), y (rows, outputs). */
typedef struct tx_product_of {
  tx_matrix_slot slot;
  int64_t rows;
  const float *x;
  float *y;
} tx_product_of;

/* Whose rows: of all tokens, or of those that are wanted. */
int64_t tx_rows_of(tx_matrix_slot slot, int64_t tokens, int64_t rows);

typedef struct tx_block_run { /* borrowed */
  tx_pass *pass;
  const tx_block *block;
  const tx_batch *batch;
  const tx_wanted *wanted;
} tx_block_run;

/* y, the matrix's own product, becomes that with its adapter. */
tx_status tx_adapter_forward(const tx_block_run *run, const tx_product_of *product, tx_tape *tape,
                             tx_error *error);

/* dy (rows, outputs) at the sum: the adapter's gradients are added to, and its share to dx
 * (rows, inputs) unless that is NULL. */
tx_status tx_adapter_backward(const tx_block_run *run, const tx_tape *tape, tx_matrix_slot slot,
                              int64_t rows, const float *x, const float *dy, float *dx,
                              const tx_block_gradient *gradient, tx_error *error);
/* dy through the gain: new rows in the arena, and the gain's gradient; dy itself without one. */
const float *tx_gain_backward(const tx_block_run *run, const tx_tape *tape, tx_matrix_slot slot,
                              int64_t rows, const float *dy, const tx_block_gradient *gradient);

#endif
