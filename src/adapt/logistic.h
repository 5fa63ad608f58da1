/* Multinomial logistic regression with an L2 penalty: the convex problem behind
 * heads, probes and the TF-IDF baseline, solved by L-BFGS (liblbfgs).
 *
 *   minimise  mean_i weight_i * -log p(label_i | x_i)  +  penalty / 2 * sum W^2
 *
 * over W (classes, features); the biases are not penalised.  With marks the loss of
 * a row is instead the sum over the labels of -log of the probability, by a sigmoid,
 * that each holds, or does not: a label's own two-class problem for every label, of
 * which the penalty is all that they share; and `labels` only stratify, a row's from
 * 0 to `classes`, which says that it has none (table.h).  `penalty` relates
 * to scikit-learn's C by penalty = 1 / (C * rows).  All arithmetic that decides
 * the result is in double and in one order: the same answer on any number of
 * threads and any processor. */
#ifndef TX_ADAPT_LOGISTIC_H
#define TX_ADAPT_LOGISTIC_H

#include "base/error.h"

/* Features of `rows` texts: dense (rows, features) or compressed sparse rows. */
typedef struct tx_features {
  int64_t rows, features;
  const float *dense;     /* or NULL */
  const int64_t *starts;  /* (rows + 1) */
  const int32_t *columns; /* (starts[rows]), increasing within a row */
  const float *values;    /* (starts[rows]) */
} tx_features;

typedef struct tx_logistic_options {
  double penalty;              /* > 0 */
  const double *class_weights; /* (classes), or NULL: all 1 */
  const uint8_t *marks;        /* (rows, classes): 1 where a label holds, each for itself, or
                                  NULL */
  int max_iterations;          /* of L-BFGS */
  double tolerance;            /* stop when the relative decrease over 10 iterations is below it */
} tx_logistic_options;

tx_logistic_options tx_logistic_defaults(void); /* penalty 1e-3, 300 iterations, 1e-6 */

/* The subset `use` (use_count row numbers; NULL: all rows) is fitted.
 * weights: (classes, features), bias: (classes); read as the starting point
 * (zeros are a good one), then written. */
tx_status tx_logistic_fit(const tx_features *features, const int32_t *labels, int classes,
                          const int64_t *use, int64_t use_count, tx_logistic_options options,
                          double *weights, double *bias, const tx_watch *watch, tx_error *error);

/* scores: (use_count, classes), the logits. */
void tx_logistic_scores(const tx_features *features, int classes, const int64_t *use,
                        int64_t use_count, const double *weights, const double *bias,
                        double *scores);

/* Chooses among `candidates` (penalties, count of them, strongest first) by
 * stratified k-fold cross-validation on the rows (folds by `seed`; rows of equal
 * `group` share a fold where groups are given, so that repeated texts do not
 * leak): the one with the lowest mean held-out NLL (weighted as the fit is), the
 * stronger of equals; each fold warm-starts from the previous candidate, and is
 * fitted to a tolerance of 1e-4 at best.  After two candidates in a row that are
 * no better, weaker ones are not tried: their `nll` is infinite.
 * `nll`: (count), out, may be NULL. */
tx_status tx_logistic_choose(const tx_features *features, const int32_t *labels, int classes,
                             const uint64_t *group, const double *candidates, size_t count,
                             int folds, uint64_t seed, tx_logistic_options options, double *penalty,
                             double *nll, const tx_watch *watch, tx_error *error);

/* Stratified folds: fold[i] in [0, folds), rows of equal group (or NULL: each
 * its own) together, each label spread as evenly as that allows.
 * Also used to hold out validation rows. */
tx_status tx_stratified_folds(const int32_t *labels, int classes, const uint64_t *group,
                              int64_t rows, int folds, uint64_t seed, int32_t *fold,
                              tx_error *error);

#endif
