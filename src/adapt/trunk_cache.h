/* What the frozen trunk gives for texts: taken from the cache on disk where an
 * earlier run has computed it, else computed, each distinct text once, and kept.
 * Keyed by model, tokens and depth, so labels, penalties and epochs do not matter. */
#ifndef TX_ADAPT_TRUNK_CACHE_H
#define TX_ADAPT_TRUNK_CACHE_H

#include "adapt/states.h"
#include "formats/cache.h"
#include "model/trunk.h"

typedef enum tx_trunk_kind {
  TX_TRUNK_TOKENS, /* (tokens, C): the residual stream after `depth` blocks */
  TX_TRUNK_POOLED, /* (1, parts * C): tx_trunk_features() at `depth` */
  TX_TRUNK_PROBE,  /* (1, (depth + 1) * TX_PROBE_PARTS * C): tx_trunk_probe() to `depth` */
} tx_trunk_kind;

typedef struct tx_trunk_want {
  tx_trunk_kind kind;
  int64_t depth;
  tx_pooling pooling; /* of TX_TRUNK_POOLED */
} tx_trunk_want;

typedef struct tx_trunk_part tx_trunk_part;

typedef struct tx_trunk_cache {
  tx_model *model;          /* blocks are loaded when first needed, and stay */
  const char *model_sha256; /* 64 hex digits */
  const char *directory;    /* of the cache; NULL: nothing is kept */
  uint64_t bound;           /* bytes of the cache on disk; and of states in memory */
  const char *scratch;      /* where states beyond the bound go; an existing directory */
  int64_t computed, recalled; /* texts so far */
  /* For several trainings over the same texts: what no cache on disk takes is kept in
   * memory too, as far as the bound allows, for later calls of this run. */
  bool remember;
  tx_trunk_part *parts;
  uint64_t remembered; /* bytes */
} tx_trunk_cache;

void tx_trunk_forget(tx_trunk_cache *cache); /* frees what was remembered */

/* Floats of a text's row. */
int64_t tx_trunk_want_width(const tx_model *model, tx_trunk_want want);

/* `states` is made: of the texts in their order, with `offsets` (count + 1) of their
 * rows, which are the sequences' own for TX_TRUNK_TOKENS and 0, 1, 2 ... otherwise.
 * A cache that cannot be read or written costs time and no answer: it is noted. */
tx_status tx_trunk_recall(tx_trunk_cache *cache, tx_pass *pass, const tx_sequences *sequences,
                          const int64_t *offsets, tx_trunk_want want, tx_states *states,
                          const tx_watch *watch, tx_error *error);

#endif
