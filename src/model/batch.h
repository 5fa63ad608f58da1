/* A ragged batch: stretches of tokens one after another, no padding anywhere; and
 * the rows (tokens) of it whose outputs are wanted.
 *
 * A stretch is a whole sequence, or goes on where another ends: a stretch of the
 * same batch that several continue (a tree: what they share is computed once), or
 * what a cache holds of earlier passes.  Its tokens see those before them as if
 * all stood in one row, and their states are the same bits. */
#ifndef TX_MODEL_BATCH_H
#define TX_MODEL_BATCH_H

#include <stdbool.h>
#include <stdint.h>

/* Sequences of ids one after another; each has at least one token. */
typedef struct tx_sequences { /* borrowed arrays */
  int64_t count;
  const int32_t *ids;
  const int64_t *offsets; /* (count + 1) */
} tx_sequences;

typedef struct tx_stretch tx_stretch; /* cache.h */

typedef struct tx_batch { /* borrowed arrays */
  int64_t sequences;      /* B, of stretches */
  int64_t tokens;         /* T */
  const int64_t
      *offsets; /* (B + 1): stretch b is tokens [offsets[b], offsets[b + 1]), at least one */
  const int64_t *positions; /* (T): within the sequence, from 0, one more from token to token */
  const int64_t *parents;   /* (B) or NULL: the stretch before b that it continues; -1: none */
  /* (B) or NULL: what stretch b continues and is appended to, another one for each, and
   * no parent of another's; NULL: none.  Where there is one, `parents` counts for nothing. */
  tx_stretch *const *past;
  int64_t block;            /* of the model, which is being run; for `past` alone */
  const uint64_t *streams;  /* (B) or NULL: what a stretch's dropout is drawn from; NULL: none */
  bool two_way;             /* a token sees those after it too, whatever the architecture says */
} tx_batch;

/* Tokens or rows [from, to) of a batch. */
typedef struct tx_span {
  int64_t from, to;
} tx_span;

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
