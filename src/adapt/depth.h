/* The depth and the pooling, chosen by cross-validation on the training rows: at
 * each depth a ridge classifier (ridge.h) for each pooling, from one probe of
 * every text.  The shallowest depth whose held-out accuracy is within one standard
 * error of the best is taken, and of its poolings the most accurate.   The
 * standard error is that of the difference between the two on the same rows, which
 * is what decides here: both err on much the same texts.  (The one-standard-error
 * rule: Breiman et al., Classification and Regression Trees, 1984, 3.4.3.) */
#ifndef TX_ADAPT_DEPTH_H
#define TX_ADAPT_DEPTH_H

#include "adapt/memo.h"
#include "adapt/states.h"
#include "taxon.h"

typedef struct tx_depth_options {
  int lowest, highest; /* depths that are tried; the probes reach `highest` at least */
  tx_pooling pooling;  /* TX_POOLING_AUTO: last, mean, and both side by side */
  int folds;
  uint64_t seed;
  const double *class_weights; /* (classes) or NULL: weigh the accuracy */
  tx_memo *memo;               /* or NULL */
  const uint8_t *marks; /* (rows, classes) of any number of labels a row, whose `labels` stratify
                           (logistic.h); or NULL */
} tx_depth_options;

typedef struct tx_depth_score {
  int depth;
  tx_pooling pooling;
  double accuracy;       /* held out, at the best penalty, 0..1; of marks the mean of the rows'
                            shares of labels found (ridge.h) */
  double standard_error; /* of the difference to the best of all; 0 for the best */
  bool chosen;
} tx_depth_score;

/* scores (room for 3 * (highest - lowest + 1)) rise by depth; `count` of them are
 * written, one of them chosen.  probes: one row a text (tx_trunk_probe). */
tx_status tx_depth_choose(const tx_states *probes, int64_t width, const int32_t *labels,
                          const uint64_t *groups, int classes, tx_depth_options options,
                          tx_depth_score *scores, int *count, const tx_watch *watch,
                          tx_error *error);

#endif
