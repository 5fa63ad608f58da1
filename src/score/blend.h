/* Two scorers over the same labels answering together: the geometric mean of
 * their probabilities, made to sum to 1 (a product of experts; Hinton 2002).  A
 * language model and the words themselves err on different texts. */
#ifndef TX_SCORE_BLEND_H
#define TX_SCORE_BLEND_H

#include "score/scorer.h"

/* first (rows, labels) = first^(1 - share) * second^share, each row summing to 1.
 * A probability of 0 counts as the smallest float. */
void tx_blend(float *first, const float *second, int64_t rows, int labels, double share);

/* The same of labels each for itself: the mean of the log odds. */
void tx_blend_sigmoids(float *first, const float *second, int64_t rows, int labels, double share);

/* The scorer is new; takes both, also on failure.  `share` of the second: 0..1. */
tx_status tx_blend_new(tx_scorer *first, tx_scorer *second, double share, tx_scorer **scorer,
                       tx_error *error);

#endif
