/* How good a set of probabilities is against the truth.  Works on any scorer's
 * output; where the probabilities came from is left to others.
 *
 * Broken probabilities leave every figure finite: NaN counts as 0, and a row of
 * nothing but NaN as a wrong answer. */
#ifndef TX_TRUST_METRICS_H
#define TX_TRUST_METRICS_H

#include "base/error.h"

typedef struct tx_metrics {
  int64_t rows, correct;
  double accuracy, macro_f1; /* macro over the labels that occur in truth or predictions */
  double micro_f1;           /* over all decisions: of one label a row the accuracy */
  double nll;   /* mean, nats; a probability of 0 counts as the smallest float, 2^-149 */
  double brier; /* mean of the sum over labels of (p - truth)^2: 0..2 */
  double ece;   /* of the top label, over the bins */
  tx_bin bins[TX_BINS]; /* of equal width over (0, 1], by the top label's probability */
} tx_metrics;

typedef struct tx_label_counts {
  int64_t support, predicted, correct;
} tx_label_counts;

/* The most probable label of a row; the first of equals; NaN only where all are. */
int32_t tx_top_label(const float *probabilities, int labels);

/* probabilities: (rows, labels); truth: (rows) in [0, labels).  0 everywhere for no rows.
 * counts: (labels) and confusion: (labels, labels), row true, column predicted;
 * each may be NULL. */
void tx_metrics_compute(const float *probabilities, const int32_t *truth, int64_t rows, int labels,
                        tx_metrics *metrics, tx_label_counts *counts, int64_t *confusion);

/* For measures of other answers: one answer into its bin; and once all are, the bins' means
 * and the calibration error. */
void tx_metrics_add_to_bin(tx_metrics *metrics, double confidence, bool right);
void tx_metrics_finish_bins(tx_metrics *metrics, int64_t answers);

/* -log of the probability of the truth, as `nll` takes it. */
double tx_row_loss(float probability);

/* 0 where it is not defined. */
double tx_label_precision(tx_label_counts counts);
double tx_recall(tx_label_counts counts);
double tx_f1(tx_label_counts counts);

#endif
