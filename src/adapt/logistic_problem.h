/* The objective of logistic regression and its gradient, over the variables as
 * the minimiser holds them.  How to minimise is left to logistic.c.
 *
 * Variables: two classes need one column only, the difference of their weights
 * (at the optimum the two are each other's negative); otherwise, and with marks, a
 * column is a class.  Dense: (columns, features), then the biases (columns).  Sparse:
 * (features, columns), then the biases, with columns rounded up to a multiple
 * of 4 when there is more than one.  The whole is rounded up to a multiple of 8,
 * which liblbfgs asks for; what is added stays 0.
 *
 * Sums over rows run within chunks whose size follows from the shape alone, and
 * the chunks are added in order: the bits depend on no thread. */
#ifndef TX_ADAPT_LOGISTIC_PROBLEM_H
#define TX_ADAPT_LOGISTIC_PROBLEM_H

#include "adapt/logistic.h"
#include "base/memory.h"
#include "kernels/doubles.h"

typedef struct tx_logistic_problem {
  const tx_doubles *arithmetic;
  const tx_features *features; /* borrowed, as the next four */
  const int32_t *labels;
  const uint8_t *marks;        /* or NULL */
  const double *class_weights; /* or NULL */
  const int64_t *use;          /* (rows), or NULL: 0, 1, 2 ... */
  int64_t rows;
  int classes;
  int64_t columns, variables;
  int64_t chunk_rows, chunks;
  int64_t partial_size;  /* of one chunk's share of the gradient */
  double *residuals;     /* (rows, columns) */
  double *partials;      /* (chunks, partial_size); dense: all variables; sparse: the biases */
  double *losses;        /* (chunks) */
  double *squares;       /* (blocks of variables): sums of squared weights */
  int64_t *column_start; /* (features + 1): the sparse features again, by column */
  int32_t *column_row;   /* numbers within `use`, rising within a column */
  float *column_value;
  tx_arena *arena; /* owns what follows `losses` and it */
} tx_logistic_problem;

/* `marks` NULL: `labels`; as of tx_logistic_options.  `use` NULL: all rows.  `with_gradient`
 * false: only losses will be asked for. */
tx_status tx_logistic_problem_make(tx_logistic_problem *problem, const tx_features *features,
                                   const int32_t *labels, const uint8_t *marks, int classes,
                                   const double *class_weights,
                                   const int64_t *use, int64_t use_count, bool with_gradient,
                                   tx_error *error);
void tx_logistic_problem_free(tx_logistic_problem *problem);

/* The mean weighted negative log-likelihood plus the penalty; `gradient`
 * (variables) is written unless it is NULL. */
double tx_logistic_objective(tx_logistic_problem *problem, const double *variables, double penalty,
                             double *gradient);

/* Between variables and weights (classes, features), bias (classes). */
void tx_logistic_pack(const tx_logistic_problem *problem, const double *weights, const double *bias,
                      double *variables);
void tx_logistic_unpack(const tx_logistic_problem *problem, const double *variables,
                        double *weights, double *bias);

#endif
