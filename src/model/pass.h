/* One pass over a model: what it needs besides weights, and the functions that
 * run it.  Forward stands beside backward.  All outputs of a row are the same
 * bits whatever else is in the batch.
 *
 * Shapes: T tokens of the batch, R wanted rows, C width, F hidden, H heads,
 * G key/value heads, D head size. */
#ifndef TX_MODEL_PASS_H
#define TX_MODEL_PASS_H

#include "base/memory.h"
#include "kernels/grouped.h"
#include "kernels/int8.h"
#include "kernels/kernels.h"
#include "model/batch.h"
#include "model/model.h"

/* Cosines and sines of rotary positions, (positions, rotary / 2), grown on demand. */
typedef struct tx_rotary {
  int64_t positions;
  float *cosines, *sines;
} tx_rotary;

/* Mutable state of one thread's passes. */
typedef struct tx_pass {
  const tx_kernels *kernels;
  const tx_int8 *int8; /* for matrices that are kept as bytes */
  const tx_grouped *grouped; /* for those kept as the file's own values */
  const tx_facts *facts;
  tx_arena *arena; /* everything a step needs; reset by the caller between steps */
  tx_rotary rotary;
} tx_pass;

tx_status tx_pass_open(const tx_facts *facts, tx_pass *pass, tx_error *error);
void tx_pass_close(tx_pass *pass);

/* What a block's forward leaves for its backward, in the pass's arena. */
typedef struct tx_tape {
  const float *x;                            /* (T, C), the block's input, borrowed */
  float *query, *key, *value;                /* (R, H*D), (T, G*D), (T, G*D), after the rotation */
  float *attended;                           /* (R, H*D) */
  float *middle;                             /* (R, C), the residual stream after attention */
  float *gate, *up;                          /* (R, F); gate NULL where not gated */
  float *low[TX_MATRICES];                   /* (R or T, rank): scale * x . A^T of adapters */
  float *plain[TX_MATRICES];                 /* (R or T, outputs): without gain and bias; or NULL */
  float *attention_mean, *attention_inverse; /* (T): of the norms */
  float *mlp_mean, *mlp_inverse;             /* (R) */
  /* What the backward makes again where it was let go (tx_tape_slim): */
  tx_arena_mark slim;
  float *normed;        /* (T, C) */
  float *wanted_normed; /* (R, C): `normed` of the wanted rows */
  float *mlp_normed;    /* (R, C) */
  float *active;        /* (R, F) */
  uint8_t *quantised;          /* rows of the input of the last product by bytes or groups; NULL:
                                  no such */
  const float *quantised_from; /* that input: query, key and value share one, and gate and up */
  bool quantised_groups;       /* as groups, not as rows of bytes */
} tx_tape;

/* Lets go of what is cheap to make again, and of all that was taken from the arena since
 * the block's forward; a backward gives the same bits. */
void tx_tape_slim(tx_pass *pass, tx_tape *tape);

/* Bytes that a slim tape takes, but for what adapters need. */
uint64_t tx_tape_bytes(const tx_facts *facts, int64_t tokens, int64_t rows);

/* y (R, C) = the block's output for the wanted rows of x (T, C).  y may be x
 * where every row is wanted and the tape is not used afterwards.  A row that is
 * not wanted costs its key and value only. */
tx_status tx_block_forward(tx_pass *pass, const tx_block *block, const tx_batch *batch,
                           const tx_wanted *wanted, const float *x, float *y, tx_tape *tape,
                           tx_error *error);

/* Where gradients go, added up; each may be NULL.  Matrices are (outputs, inputs). */
typedef struct tx_block_gradient {
  float *matrix[TX_MATRICES], *bias[TX_MATRICES];
  float *norm_weight[TX_NORMS], *norm_bias[TX_NORMS];
  float *adapter_a[TX_MATRICES], *adapter_b[TX_MATRICES]; /* (rank, inputs), (outputs, rank) */
  float *magnitude[TX_MATRICES];                          /* (outputs); a length counts as fixed */
} tx_block_gradient;

/* `transposed[slot]`: the slot's weight packed for dx = dy . W, that is depth =
 * outputs, columns = inputs.  dy (R, C) is consumed; dx (T, C) is written, or
 * NULL where nobody needs it. */
tx_status tx_block_backward(tx_pass *pass, const tx_block *block,
                            const float *const transposed[TX_MATRICES], const tx_batch *batch,
                            const tx_wanted *wanted, const tx_tape *tape, float *dy, float *dx,
                            const tx_block_gradient *gradient, tx_error *error);

/* y (R, C) = norm(x); mean and inverse (R) may be NULL. */
void tx_norm_forward(tx_pass *pass, const tx_norm *norm, int64_t rows, const float *x, float *y,
                     float *mean, float *inverse);
/* dx (R, C) += the gradient; dweight, dbias (C) += theirs; each may be NULL. */
void tx_norm_backward(tx_pass *pass, const tx_norm *norm, int64_t rows, const float *x,
                      const float *dy, const float *mean, const float *inverse, float *dx,
                      float *dweight, float *dbias);

/* Turns `rows` rows of `heads` heads in place, by the positions of their tokens;
 * `direction` 1 forward, -1 for the gradient. */
tx_status tx_rotary_apply(tx_pass *pass, const tx_batch *batch, const tx_wanted *wanted,
                          int64_t heads, float *x, int direction, tx_error *error);

/* attended (R, H*D) from query (R, H*D), key and value (T, G*D): each row from the keys
 * and values of its chain (batch.h), causal or up to its stretch's end, and within the
 * window.  Keys and values are appended to `past`. */
tx_status tx_attention_forward(tx_pass *pass, const tx_batch *batch, const tx_wanted *wanted,
                               const float *query, const float *key, const float *value,
                               float *attended, tx_error *error);
/* dquery, dkey, dvalue are written; dattended (R, H*D).  Whole sequences only. */
tx_status tx_attention_backward(tx_pass *pass, const tx_batch *batch, const tx_wanted *wanted,
                                const float *query, const float *key, const float *value,
                                const float *attended, const float *dattended, float *dquery,
                                float *dkey, float *dvalue, tx_error *error);

#endif
