/* Prefixes that the sequences of one batch share are found, and computed once: the
 * sequences become a tree of stretches (batch.h). */
#ifndef TX_MODEL_PREFIX_H
#define TX_MODEL_PREFIX_H

#include "base/error.h"
#include "base/memory.h"
#include "model/batch.h"

/* Memory of the arena it was made in. */
typedef struct tx_tree {
  tx_batch batch;
  const int32_t *ids;     /* (T) */
  int64_t count;          /* sequences in it; the batch's are stretches */
  const int64_t *offsets; /* (count + 1) */
  const tx_span *spans;   /* sequence i: [offsets[i], offsets[i + 1]), one after another */
} tx_tree;

/* A batch of the sequences from `from` on, in their order: as many as fit in about
 * `budget` tokens, each shared one counted once, and at least one.  What is shared is
 * allowed for beyond the budget, since more sequences then share it.  `share` false:
 * each sequence is one stretch, in its place. */
tx_status tx_tree_make(tx_arena *arena, const tx_sequences *sequences, int64_t from,
                       int64_t budget, bool share, tx_tree *tree, tx_error *error);

static inline int64_t tx_tree_first(const tx_tree *tree, int64_t i) {
  return tree->spans[tree->offsets[i]].from;
}
static inline int64_t tx_tree_last(const tx_tree *tree, int64_t i) {
  return tree->spans[tree->offsets[i + 1] - 1].to - 1;
}

#endif
