/* Pooling: from the states of a text's tokens to one row of features. */
#ifndef TX_MODEL_POOL_H
#define TX_MODEL_POOL_H

#include "model/pass.h"

/* How, and with TX_POOLING_ATTENTION what a token's state is held against: its share is the
 * softmax over the text's tokens of query . state; a query of zeros is the mean. */
typedef struct tx_pool {
  tx_pooling pooling;
  const float *query; /* (C), borrowed; else NULL */
} tx_pool;

/* Features of a text, in units of the width: 2 for the last token beside the mean. */
int64_t tx_pool_parts(tx_pooling pooling);

/* Whether all tokens' states are needed, not a single one's. */
bool tx_pool_needs_all(tx_pooling pooling);

/* The rows that pooling needs: in the pass's arena where it is not all. */
tx_status tx_pool_wanted(tx_pass *pass, const tx_batch *batch, tx_pooling pooling,
                         tx_wanted *wanted, tx_error *error);

/* feature (C): of the rows of `normed` that stand in a few places, in their order: their
 * mean, or weighed by the query.  Takes from the pass's arena. */
tx_status tx_pool_rows(tx_pass *pass, tx_pool pool, const float *normed, const tx_span *spans,
                       int64_t count, float *feature, tx_error *error);

/* features (B, parts * C): the wanted rows' states (R, C), each through `norm`, then
 * the single one or what tx_pool_rows() makes of each sequence, or the last and the mean.
 * normed (R, C), mean and inverse (R) are written for the backward; mean and inverse may be
 * NULL. */
tx_status tx_pool_forward(tx_pass *pass, const tx_norm *norm, tx_pool pool,
                          const tx_wanted *wanted, int64_t sequences, const float *states,
                          float *normed, float *mean, float *inverse, float *features,
                          tx_error *error);

/* dstates (R, C) from dfeatures (B, parts * C); dweight, dbias (C) of the norm are added to,
 * and dquery (C), unless they are NULL. */
tx_status tx_pool_backward(tx_pass *pass, const tx_norm *norm, tx_pool pool,
                           const tx_wanted *wanted, int64_t sequences, const float *states,
                           const float *normed, const float *mean, const float *inverse,
                           const float *dfeatures, float *dstates, float *dweight, float *dbias,
                           float *dquery, tx_error *error);

#endif
