/* Runs of symbols that two sequences have in common.  What the symbols are, words or
 * characters, is left to translation.c. */
#ifndef TX_TRUST_OVERLAP_H
#define TX_TRUST_OVERLAP_H

#include "base/error.h"

/* Runs of one length, summed over pairs of sequences. */
typedef struct tx_overlap {
  int64_t left, right, both; /* both: for each different run, the smaller of its two counts */
} tx_overlap;

/* A growing list of symbols, and what counting needs; reused from pair to pair. */
typedef struct tx_symbols {
  uint32_t *items;
  size_t count, capacity;
} tx_symbols;
bool tx_symbols_add(tx_symbols *symbols, uint32_t symbol); /* false: out of memory */
void tx_symbols_free(tx_symbols *symbols);

/* Adds to overlaps[n - 1] the runs of n symbols, n from 1 to `orders`.  The first
 * `left` symbols are one sequence, the rest the other. */
tx_status tx_overlap_add(const tx_symbols *symbols, size_t left, int orders, tx_overlap *overlaps,
                         tx_error *error);

#endif
