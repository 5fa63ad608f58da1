/* The convex head: multinomial logistic regression on standardised features (with
 * marks one of two classes for each label, of one penalty), folded back so that it
 * applies to the features as they are. */
#ifndef TX_ADAPT_HEAD_H
#define TX_ADAPT_HEAD_H

#include "adapt/memo.h"

typedef struct tx_head_options {
  double penalty; /* on the standardised features, relative to the mean loss; 0: chosen */
  int folds;      /* of the cross-validation that chooses it */
  uint64_t seed;
  const double *class_weights; /* (classes) or NULL */
  const uint8_t *marks;        /* as of tx_logistic_options, and what `labels` are then; or NULL */
  tx_memo *memo;               /* or NULL */
} tx_head_options;

/* features (rows, width); groups (rows): rows of one group stay in one fold.
 * weight (classes, width) and bias (classes) are written; `penalty` is the one used. */
tx_status tx_head_fit(const float *features, const int32_t *labels, const uint64_t *groups,
                      int64_t rows, int64_t width, int classes, tx_head_options options,
                      float *weight, float *bias, double *penalty, const tx_watch *watch,
                      tx_error *error);

#endif
