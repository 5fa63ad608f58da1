/* A ragged batch: sequences of tokens one after another, no padding anywhere;
 * and the rows (tokens) of it whose outputs are wanted. */
#ifndef TX_MODEL_BATCH_H
#define TX_MODEL_BATCH_H

#include <stdint.h>

typedef struct tx_batch { /* borrowed arrays */
  int64_t sequences;      /* B */
  int64_t tokens;         /* T */
  const int64_t
      *offsets; /* (B + 1): sequence b is tokens [offsets[b], offsets[b + 1]), at least one */
  const int64_t *positions; /* (T): within the sequence, from 0 */
} tx_batch;

/* Wanted tokens, grouped by sequence: those of sequence b are
 * tokens[offsets[b] .. offsets[b + 1]), rising.  Every token where tokens is
 * NULL; `offsets` is then the batch's own. */
typedef struct tx_wanted {
  int64_t count; /* R */
  const int64_t *tokens;
  const int64_t *offsets;
} tx_wanted;

static inline tx_wanted tx_wanted_all(const tx_batch *batch) {
  return (tx_wanted){batch->tokens, 0, batch->offsets};
}

static inline int64_t tx_wanted_token(const tx_wanted *wanted, int64_t row) {
  return wanted->tokens ? wanted->tokens[row] : row;
}

#endif
