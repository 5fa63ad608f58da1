/* The lengths that adapters with a magnitude (DoRA) divide by: of each output's row of
 * W + scale B A, from W as it is packed. */
#ifndef TX_ADAPT_MAGNITUDES_H
#define TX_ADAPT_MAGNITUDES_H

#include "adapt/parameters.h"
#include "model/model.h"

/* lengths (outputs): of the rows of W alone. */
void tx_row_lengths(const tx_matrix *matrix, float *lengths);

/* What is of one matrix; all borrowed. */
typedef struct tx_magnitude {
  const tx_matrix *matrix;    /* with panels, and an adapter */
  const tx_parameter *a, *b;  /* (rank, inputs), (outputs, rank) */
  const float *lengths;       /* of the rows of W */
  const tx_parameter *length; /* (1, outputs): the magnitudes */
} tx_magnitude;

/* gain (outputs) = magnitude / length of W + scale B A, and inverse (outputs) = 1 / length:
 * |w + s b A|^2 = |w|^2 + 2 s (w A^T) b + s^2 b (A A^T) b, in double. */
tx_status tx_magnitude_gain(const tx_kernels *kernels, const tx_magnitude *magnitude, float *gain,
                            float *inverse, tx_error *error);

#endif
