/* What several trainings, alike but for their seed, show on one test set.
 *
 * Two things make such a mean uncertain: the seeds that happened to be drawn and the texts
 * that happen to be in the set.  The interval of the texts is Wilson's (of a difference
 * Newcombe's), of the mean over seeds as if it were one training's: not too narrow, since a
 * mean varies less.  That of the seeds is Student's t over their scores.  The two are joined
 * by adding the squares of their distances from the mean, each side for itself, as Newcombe
 * joins the intervals of two proportions (MOVER: Zou and Donner 2008).  Of a single seed
 * only the texts' is left, which says nothing of other seeds. */
#ifndef TX_TRUST_SEEDS_H
#define TX_TRUST_SEEDS_H

#include "trust/comparison.h"

typedef struct tx_mean {
  double mean, lo, hi; /* 95 % */
} tx_mean;

/* scores: (seeds) accuracies on `rows` rows; seeds from 1. */
tx_mean tx_seeds_accuracy(const double *scores, int64_t seeds, int64_t rows);

/* Accuracy of a less that of b, trained with the same seeds.  a, b: (seeds), each (rows) of
 * '1' where the answer was right, else another character. */
tx_mean tx_seeds_difference(const char *const *a, const char *const *b, int64_t seeds,
                            int64_t rows);

/* The 0.975 quantile of Student's t, to 0.001; degrees from 1. */
double tx_student(int64_t degrees);

#endif
