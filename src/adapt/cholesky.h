/* A blocked Cholesky factorisation in fp32 and what it solves, on one thread, all
 * of it from the packed product.  A right-hand side is held as panels of TX_PANEL
 * columns, which is the product's own packed form.  The same bits on any processor. */
#ifndef TX_ADAPT_CHOLESKY_H
#define TX_ADAPT_CHOLESKY_H

#include <stdint.h>

#include "kernels/product.h"

typedef struct tx_cholesky {
  const tx_kernels *kernels;
  int64_t size;
  float *matrix;   /* (size, size): the lower triangle is read, and becomes the factor */
  float *inverses; /* (size rounded up to TX_PANEL, TX_PANEL): of the factor's diagonal blocks */
  float *panel;    /* (size, TX_PANEL), scratch, as the next */
  float *result;   /* (size, TX_PANEL) */
} tx_cholesky;

/* The matrix is symmetric and positive; a pivot that rounding took below 1e-12 is that. */
void tx_cholesky_factor(tx_cholesky *c);

/* right (size, TX_PANEL) = matrix^-1 right, after the factorisation. */
void tx_cholesky_solve(tx_cholesky *c, float *right);

#endif
