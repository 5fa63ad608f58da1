/* Running blocks over many sequences: batches are cut by a token budget, and what
 * sequences of a batch share is computed once (prefix.h); neither changes an answer.
 * And pooling: from the tokens' states to one state a sequence. */
#ifndef TX_MODEL_TRUNK_H
#define TX_MODEL_TRUNK_H

#include "model/pool.h"

enum { TX_BATCH_TOKENS = 512 };

/* Positions within their sequences, in the pass's arena, and the batch over them. */
tx_status tx_batch_make(tx_pass *pass, const int64_t *offsets, int64_t sequences, tx_batch *batch,
                        tx_error *error);

/* x (T, C), T all tokens of `sequences`: the residual stream after `blocks`
 * blocks, which are loaded.  Resets the pass's arena.  Reports under `stage`. */
tx_status tx_trunk_run(const tx_model *model, tx_pass *pass, const tx_sequences *sequences,
                       int64_t blocks, int64_t batch_tokens, float *x, const char *stage,
                       const tx_watch *watch, tx_error *error);

/* features (count, parts * C): the pooled states after `depth` blocks, from 0; the
 * last block computes only the rows that pooling needs. */
tx_status tx_trunk_features(const tx_model *model, tx_pass *pass, const tx_sequences *sequences,
                            int64_t depth, tx_pooling pooling, int64_t batch_tokens,
                            float *features, const char *stage, const tx_watch *watch,
                            tx_error *error);

/* A depth that features are taken at on the way, and where they go. */
typedef struct tx_tap {
  int64_t depth;
  tx_pooling pooling;
  float *features;    /* (count, parts * C) */
  const float *query; /* (C), of TX_POOLING_ATTENTION */
} tx_tap;

/* tx_trunk_features() at each of the taps, the same bits, in one pass: each block
 * runs once, as far as the deepest tap. */
tx_status tx_trunk_taps(const tx_model *model, tx_pass *pass, const tx_sequences *sequences,
                        const tx_tap *taps, size_t tap_count, int64_t batch_tokens,
                        const char *stage, const tx_watch *watch, tx_error *error);

/* What a probe keeps of a text at a depth: TX_POOLING_LAST_MEAN, which holds the
 * last token and the mean too. */
enum { TX_PROBE_PARTS = 2 };

/* probes (count, depth + 1, TX_PROBE_PARTS, C): the pooled states after 0, 1 ...
 * `depth` blocks, each through the output norm; the same bits as
 * tx_trunk_features() gives at that depth.  One pass. */
tx_status tx_trunk_probe(const tx_model *model, tx_pass *pass, const tx_sequences *sequences,
                         int64_t depth, int64_t batch_tokens, float *probes, const char *stage,
                         const tx_watch *watch, tx_error *error);

#endif
