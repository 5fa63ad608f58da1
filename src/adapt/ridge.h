/* Ridge regression onto label indicators, cross-validated: the cheap stand-in for
 * the convex head where many sets of features are to be compared.  One Gram
 * matrix a fold serves every penalty; no iterations.  (Least squares on
 * indicators is Fisher's discriminant up to scaling: Hastie, Tibshirani and
 * Friedman, The Elements of Statistical Learning, 4.3.)
 *
 * All sums run in one order: the same bits on any number of threads and any
 * processor. */
#ifndef TX_ADAPT_RIDGE_H
#define TX_ADAPT_RIDGE_H

#include "base/error.h"

typedef struct tx_ridge_rows {
  int64_t rows;
  const int32_t *labels;      /* (rows); with marks not read */
  int classes, folds;
  const int64_t *fold_starts; /* (folds + 1): fold f is rows [fold_starts[f], fold_starts[f + 1]) */
  const uint8_t *marks; /* (rows, classes): 1 where a label holds, any number a row; or NULL */
} tx_ridge_rows;

enum { TX_RIDGE_WHOLE = 240 }; /* whose halves, thirds ... are whole */

/* features (rows, width), standardised, in the order of the folds.  For each of
 * the penalties (count; > 0, relative to the mean squared error): correct
 * (count, rows) is 1 where a row's label has the highest score under the model
 * fitted to the other folds.  With marks it is the share, of TX_RIDGE_WHOLE, of a row's k
 * labels that are among the k of highest score; of a row without, the whole where no
 * score reaches a half. */
tx_status tx_ridge_validate(const tx_ridge_rows *rows, const float *features, int64_t width,
                            const double *penalties, int count, uint8_t *correct,
                            tx_error *error);

#endif
