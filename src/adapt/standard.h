/* Features brought to mean 0 and standard deviation 1, column by column: what
 * the convex solvers want, and what lets one penalty fit all columns. */
#ifndef TX_ADAPT_STANDARD_H
#define TX_ADAPT_STANDARD_H

#include "base/error.h"

/* mean (width), inverse (width): 1 / deviation over the rows, 0 for a feature that
 * does not vary.  Then features (rows, width) = (features - mean) * inverse, in
 * place.  `row_stride` floats from one row of `from` to the next. */
void tx_standard_fit(const float *from, int64_t row_stride, int64_t rows, int64_t width,
                     double *mean, double *inverse);
void tx_standard_apply(const float *from, int64_t row_stride, int64_t rows, int64_t width,
                       const double *mean, const double *inverse, float *features);

#endif
