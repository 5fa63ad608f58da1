/* Statistics of comparison: what a finite test set can and cannot show. */
#ifndef TX_TRUST_COMPARISON_H
#define TX_TRUST_COMPARISON_H

#include <stdint.h>

typedef struct tx_interval {
  double lo, hi;
} tx_interval;

/* Wilson's score interval of a proportion, 95 %; [0, 1] for no trials. */
tx_interval tx_wilson(int64_t successes, int64_t trials);
/* The same of a share, which may be a mean of several trials' on the same rows. */
tx_interval tx_wilson_share(double share, double trials);

/* McNemar's exact test, two-sided: the binomial probability of a split at least
 * as uneven as (only_a, only_b) when both are equally likely; 1 at most. */
double tx_mcnemar(int64_t only_a, int64_t only_b);

/* The 95 % interval of accuracy(a) - accuracy(b) on the same `rows`, from the
 * discordant counts (Newcombe 1998, method 10). */
tx_interval tx_paired_difference(int64_t both, int64_t only_a, int64_t only_b, int64_t neither);
/* The same of counts that may be means. */
tx_interval tx_paired_counts(double both, double only_a, double only_b, double neither);

/* The one-sided p-value of "the mean of these differences is above 0", by their
 * mean over its standard error against the normal distribution; 1 for fewer than
 * two rows or no positive mean. */
double tx_mean_above_zero(const double *differences, int64_t count);

#endif
