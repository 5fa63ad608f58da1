/* Sequences that grow token by token: up to 64 that start and end on their own, each
 * with its keys and values kept (cache.h), run together.  Logits are computed where
 * they are asked for, and only then is the language-model head touched.  Which token
 * is taken next is left to others.
 *
 *   tx_decode_start(decode, NULL, &slot, error);
 *   tx_decode_run(decode, &(tx_feed){slot, prompt, count, 1}, 1, logits, NULL, error);
 *   for (;;) {
 *     id = ...;  // of the logits
 *     tx_decode_run(decode, &(tx_feed){slot, &id, 1, 1}, 1, logits, NULL, error);
 *   }
 *
 * Logits are the same bits whatever else runs, however the tokens are divided among
 * calls, and as those of a pass over the whole sequence. */
#ifndef TX_MODEL_DECODE_H
#define TX_MODEL_DECODE_H

#include "base/watch.h"
#include "model/cache.h"
#include "model/model.h"

enum { TX_DECODE_SLOTS = 64 };

typedef struct tx_decode tx_decode; /* of one thread at a time */

/* New, over a causal model (borrowed) whose blocks are all loaded. */
tx_status tx_decode_new(const tx_model *model, tx_decode **decode, tx_error *error);
void tx_decode_free(tx_decode *decode); /* ends all sequences; NULL is allowed */

/* A prefix that sequences share: `ids` (count, at least 1) after `parent` (borrowed,
 * may be NULL) are run once.  The prefix is new, is freed by tx_stretch_free() and
 * outlives the sequences on it. */
tx_status tx_decode_prefix(tx_decode *decode, const tx_stretch *parent, const int32_t *ids,
                           int64_t count, const tx_watch *watch, tx_stretch **prefix,
                           tx_error *error);

/* A new sequence, empty or on a prefix (borrowed).  Where none of the slots is free
 * that is an argument error. */
tx_status tx_decode_start(tx_decode *decode, const tx_stretch *prefix, int *slot, tx_error *error);
void tx_decode_end(tx_decode *decode, int slot); /* one that is not in use is allowed */
int64_t tx_decode_length(const tx_decode *decode, int slot); /* tokens, the prefix's included */

/* What is appended to one sequence. */
typedef struct tx_feed {
  int slot;
  const int32_t *ids; /* (count), borrowed */
  int64_t count;      /* at least 1 */
  int64_t wanted;     /* logits of so many of the last of them, 0 to count */
} tx_feed;

/* Appends to `count` sequences, each named once.  logits (sum of wanted, V), feed by
 * feed; may be NULL where none are wanted.  What fails leaves all sequences as they were. */
tx_status tx_decode_run(tx_decode *decode, const tx_feed *feeds, int64_t count, float *logits,
                        const tx_watch *watch, tx_error *error);

#endif
