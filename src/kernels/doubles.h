/* Arithmetic in double on plain arrays, for the convex solver: one table of
 * functions for each instruction set, chosen together with kernels.h.
 *
 * Every path gives the same bits: products and sums are rounded one by one
 * (no fused multiply-add, which old processors lack), elements are independent
 * of each other, and each sum has one fixed order, said below. */
#ifndef TX_KERNELS_DOUBLES_H
#define TX_KERNELS_DOUBLES_H

#include <stdint.h>

typedef struct tx_doubles {
  /* scores (count, columns) = rows . weights (columns, features), transposed.
   * rows: `count` pointers to (features) floats.  Eight partial sums (feature i
   * goes to sum i mod 8), joined 4 apart, 2, 1. */
  void (*scores)(const float *const *rows, int64_t count, int64_t features, const double *weights,
                 int64_t columns, double *scores);

  /* gradient (columns, features) += residuals (count, columns), transposed, . rows,
   * one row after another. */
  void (*gradient)(const float *const *rows, int64_t count, int64_t features,
                   const double *residuals, int64_t columns, double *gradient);

  /* out (lanes) = sum over j of values[j] * table[index[j]] (lanes), for sparse
   * rows and columns.  lanes is 1 (four partial sums, j mod 4, joined 2 apart, 1)
   * or a multiple of 4 (in the order of j). */
  void (*gather)(const int32_t *index, const float *values, int64_t count, const double *table,
                 int64_t lanes, double *out);

  void (*exp)(double *values, int64_t count); /* in place; clamped to [-700, 700] before */
  void (*log)(double *values, int64_t count); /* in place; values >= 1 and finite */
} tx_doubles;

/* The table in use, and that of a path (NULL where this machine cannot run it). */
const tx_doubles *tx_doubles_get(void);
const tx_doubles *tx_doubles_find(const char *name);

extern const tx_doubles tx_doubles_generic, tx_doubles_avx2, tx_doubles_avx512;

#endif
