/* Batches of sequences through blocks, and pooling. */
#include "model/trunk.h"

#include <string.h>

#include "base/watch.h"
#include "model/prefix.h"

/* ---- batches ----------------------------------------------------------- */

tx_status tx_batch_make(tx_pass *pass, const int64_t *offsets, int64_t sequences, tx_batch *batch,
                        tx_error *error) {
  int64_t tokens = offsets[sequences] - offsets[0];
  int64_t *own = tx_arena_array(pass->arena, (size_t)(sequences + 1 + tokens), sizeof *own);
  if (!own) return tx_fail_memory(error, (uint64_t)tokens * 8, "a batch");
  int64_t *positions = own + sequences + 1;
  for (int64_t b = 0; b <= sequences; b++) own[b] = offsets[b] - offsets[0];
  for (int64_t b = 0; b < sequences; b++) {
    for (int64_t t = own[b]; t < own[b + 1]; t++) positions[t] = t - own[b];
  }
  *batch = (tx_batch){
      .sequences = sequences, .tokens = tokens, .offsets = own, .positions = positions};
  return TX_OK;
}

/* What is done with the batches whose states are not kept: x (T, C) is scratch. */
typedef struct {
  const tx_model *model;
  tx_pass *pass;
  const tx_sequences *sequences;
  int64_t depth; /* the deepest that is wanted */
  const tx_tap *taps;
  size_t tap_count;
  float *probes; /* (count, depth + 1, 2, C), instead of taps; or NULL */
  const tx_watch *watch;
  tx_arena *arena; /* a batch's tree; the pass's own is reset at each block */
} walk;

/* One batch: sequences [from, from + tree.count). */
typedef struct {
  tx_tree tree;
  int64_t from;
} stop;

static float *normed_states(const walk *w, int64_t rows, const float *states, tx_error *error) {
  uint64_t floats = (uint64_t)(rows * w->pass->facts->width);
  float *normed = tx_arena_array(w->pass->arena, floats, sizeof *normed);
  if (normed) {
    tx_norm_forward(w->pass, tx_model_output_norm(w->model), rows, states, normed, NULL, NULL);
  } else {
    (void)tx_fail_memory(error, floats * sizeof *normed, "states");
  }
  return normed;
}

/* From the states (T, C) of all tokens to the last token's, and to what `pool` makes of all:
 * `stride` floats from a sequence's features to the next one's; each may be NULL. */
static tx_status pool_states(const walk *w, const tx_tree *tree, tx_pool pool, const float *states,
                             int64_t stride, float *last, float *all, tx_error *error) {
  int64_t width = w->pass->facts->width;
  const float *normed = normed_states(w, tree->batch.tokens, states, error);
  if (!normed) return TX_ERROR_SYSTEM;
  for (int64_t i = 0; i < tree->count; i++) {
    const float *row = normed + tx_tree_last(tree, i) * width;
    if (last) memcpy(last + i * stride, row, (size_t)width * sizeof *row);
    if (!all) continue;
    TX_TRY(tx_pool_rows(w->pass, pool, normed, tree->spans + tree->offsets[i],
                        tree->offsets[i + 1] - tree->offsets[i], all + i * stride, error));
  }
  return TX_OK;
}

/* The token that a sequence's single row is. */
static int64_t single_token(const tx_tree *tree, tx_pooling pooling, int64_t i) {
  return pooling == TX_POOLING_LAST ? tx_tree_last(tree, i) : tx_tree_first(tree, i);
}

/* From the states of each sequence's single row: state (R, C), where row_of[token], or
 * the token itself where row_of is NULL, is the row of a token. */
static tx_status pool_singles(const walk *w, const tx_tree *tree, tx_pooling pooling,
                              const float *states, const int64_t *row_of, float *features,
                              tx_error *error) {
  int64_t width = w->pass->facts->width;
  for (int64_t i = 0; i < tree->count; i++) {
    int64_t token = single_token(tree, pooling, i);
    const float *row = states + (row_of ? row_of[token] : token) * width;
    memcpy(features + i * width, row, (size_t)width * sizeof *row);
  }
  const float *normed = normed_states(w, tree->count, features, error);
  if (!normed) return TX_ERROR_SYSTEM;
  memcpy(features, normed, (size_t)(tree->count * width) * sizeof *features);
  return TX_OK;
}

/* A tap's features from x (T, C), the states of all tokens at its depth. */
static tx_status take_tap(const walk *w, const tx_tap *tap, const stop *at, const float *x,
                          tx_error *error) {
  int64_t width = w->pass->facts->width, stride = tx_pool_parts(tap->pooling) * width;
  float *features = tap->features + at->from * stride;
  if (!tx_pool_needs_all(tap->pooling)) {
    return pool_singles(w, &at->tree, tap->pooling, x, NULL, features, error);
  }
  float *last = tap->pooling == TX_POOLING_LAST_MEAN ? features : NULL;
  tx_pool pool = {tap->pooling, tap->query};
  return pool_states(w, &at->tree, pool, x, stride, last, features + stride - width, error);
}

/* Takes what is wanted at a depth from x (T, C). */
static tx_status visit(const walk *w, const stop *at, int64_t depth, const float *x,
                       tx_error *error) {
  int64_t width = w->pass->facts->width, step = TX_PROBE_PARTS * width;
  int64_t record = (w->depth + 1) * step; /* floats from one text's probe to the next's */
  if (w->probes) {
    float *probe = w->probes + at->from * record + depth * step;
    tx_pool mean = {TX_POOLING_MEAN, NULL};
    return pool_states(w, &at->tree, mean, x, record, probe, probe + width, error);
  }
  for (size_t i = 0; i < w->tap_count; i++) {
    if (w->taps[i].depth == depth) TX_TRY(take_tap(w, &w->taps[i], at, x, error));
  }
  return TX_OK;
}

/* x (T, C) of one batch through the embeddings and blocks [0, blocks); what is
 * wanted is taken on the way. */
static tx_status run_batch(const walk *w, const stop *at, int64_t blocks, float *x,
                           tx_error *error) {
  const tx_batch *batch = &at->tree.batch;
  tx_arena_reset(w->pass->arena);
  TX_TRY(tx_model_embed(w->model, at->tree.ids, batch->positions, batch->tokens, x, error));
  TX_TRY(visit(w, at, 0, x, error));
  for (int64_t i = 0; i < blocks; i++) {
    tx_wanted all = tx_wanted_all(batch);
    tx_tape tape;
    TX_TRY(tx_watch_check(w->watch, error));
    tx_arena_reset(w->pass->arena);
    TX_TRY(tx_block_forward(w->pass, tx_model_block(w->model, i), batch, &all, x, x, &tape, error));
    TX_TRY(visit(w, at, i + 1, x, error));
  }
  return TX_OK;
}

/* The pooling whose rows are enough for all taps at the deepest depth: theirs,
 * where it is the same single row; else one that needs all rows. */
static tx_pooling deepest_pooling(const walk *w) {
  tx_pooling pooling = TX_POOLING_MEAN;
  bool found = false;
  for (size_t i = 0; i < w->tap_count; i++) {
    if (w->taps[i].depth != w->depth) continue;
    if (found && w->taps[i].pooling != pooling) return TX_POOLING_MEAN;
    pooling = w->taps[i].pooling;
    found = true;
  }
  return pooling;
}

/* The single rows of all sequences, each once: row_of (T) says which of them a token is. */
static tx_status wanted_singles(const walk *w, const tx_tree *tree, tx_pooling pooling,
                                tx_wanted *wanted, int64_t **row_of, tx_error *error) {
  const tx_batch *batch = &tree->batch;
  size_t numbers = (size_t)(2 * batch->tokens + batch->sequences + 1);
  int64_t *rows = *row_of = tx_arena_array(w->pass->arena, numbers, sizeof *rows);
  if (!rows) return tx_fail_memory(error, numbers * sizeof *rows, "pooling");
  int64_t *tokens = rows + batch->tokens, *offsets = tokens + batch->tokens, count = 0;
  for (int64_t t = 0; t < batch->tokens; t++) rows[t] = -1;
  for (int64_t i = 0; i < tree->count; i++) rows[single_token(tree, pooling, i)] = 0;
  for (int64_t b = 0; b < batch->sequences; b++) {
    offsets[b] = count;
    for (int64_t t = batch->offsets[b]; t < batch->offsets[b + 1]; t++) {
      if (rows[t] < 0) continue;
      tokens[count] = t;
      rows[t] = count++;
    }
  }
  offsets[batch->sequences] = count;
  *wanted = (tx_wanted){count, tokens, offsets};
  return TX_OK;
}

/* The deepest block computes only the rows that its taps need. */
static tx_status run_taps(const walk *w, const stop *at, float *x, tx_error *error) {
  int64_t width = w->pass->facts->width, *row_of;
  tx_pooling pooling = deepest_pooling(w);
  if (w->depth == 0 || tx_pool_needs_all(pooling)) return run_batch(w, at, w->depth, x, error);
  TX_TRY(run_batch(w, at, w->depth - 1, x, error));
  tx_wanted wanted;
  tx_tape tape;
  tx_arena_reset(w->pass->arena);
  TX_TRY(wanted_singles(w, &at->tree, pooling, &wanted, &row_of, error));
  float *states = tx_arena_array(w->pass->arena, (size_t)(wanted.count * width), sizeof(float));
  if (!states) return tx_fail_memory(error, (uint64_t)(wanted.count * width) * 4, "states");
  TX_TRY(tx_block_forward(w->pass, tx_model_block(w->model, w->depth - 1), &at->tree.batch,
                          &wanted, x, states, &tape, error));
  for (size_t i = 0; i < w->tap_count; i++) {
    if (w->taps[i].depth != w->depth) continue;
    float *features = w->taps[i].features + at->from * width;
    TX_TRY(pool_singles(w, &at->tree, pooling, states, row_of, features, error));
  }
  return TX_OK;
}

/* What a text shares with others can be computed once only where a token does not see
 * what comes after it. */
static bool may_share(const walk *w) {
  return w->pass->facts->architecture->causal && !tx_model_is_two_way(w->model, w->depth);
}

/* All batches; `states` (all tokens, C) keeps what is computed where it is given, and
 * nothing is shared then. */
static tx_status walk_batches(const walk *w, int64_t batch_tokens, const char *stage,
                              float *states, tx_error *error) {
  const tx_sequences *sequences = w->sequences;
  int64_t total = sequences->offsets[sequences->count], width = w->pass->facts->width;
  stop at = {.from = 0};
  for (; at.from < sequences->count; at.from += at.tree.count) {
    tx_watch_report(w->watch, stage, sequences->offsets[at.from], total, "tokens");
    tx_arena_reset(w->arena);
    TX_TRY(tx_tree_make(w->arena, sequences, at.from, batch_tokens, !states && may_share(w),
                        &at.tree, error));
    if (states) {
      TX_TRY(run_batch(w, &at, w->depth, states + sequences->offsets[at.from] * width, error));
      continue;
    }
    uint64_t floats = (uint64_t)(at.tree.batch.tokens * width);
    float *x = tx_arena_array(w->arena, floats, sizeof *x);
    if (!x) return tx_fail_memory(error, floats * sizeof *x, "a batch's states");
    TX_TRY(w->probes ? run_batch(w, &at, w->depth, x, error) : run_taps(w, &at, x, error));
  }
  tx_watch_report(w->watch, stage, total, total, "tokens");
  return TX_OK;
}

static tx_status walk_all(walk *w, int64_t batch_tokens, const char *stage, float *states,
                          tx_error *error) {
  w->arena = tx_arena_new();
  if (!w->arena) return tx_fail_memory(error, 64, "a batch");
  tx_status status = walk_batches(w, batch_tokens, stage, states, error);
  tx_arena_free(w->arena);
  return status;
}

tx_status tx_trunk_run(const tx_model *model, tx_pass *pass, const tx_sequences *sequences,
                       int64_t blocks, int64_t batch_tokens, float *x, const char *stage,
                       const tx_watch *watch, tx_error *error) {
  walk w = {.model = model,
            .pass = pass,
            .sequences = sequences,
            .depth = blocks,
            .watch = watch};
  return walk_all(&w, batch_tokens, stage, x, error);
}

tx_status tx_trunk_taps(const tx_model *model, tx_pass *pass, const tx_sequences *sequences,
                        const tx_tap *taps, size_t tap_count, int64_t batch_tokens,
                        const char *stage, const tx_watch *watch, tx_error *error) {
  walk w = {.model = model,
            .pass = pass,
            .sequences = sequences,
            .taps = taps,
            .tap_count = tap_count,
            .watch = watch};
  for (size_t i = 0; i < tap_count; i++) {
    if (taps[i].depth > w.depth) w.depth = taps[i].depth;
  }
  return walk_all(&w, batch_tokens, stage, NULL, error);
}

tx_status tx_trunk_features(const tx_model *model, tx_pass *pass, const tx_sequences *sequences,
                            int64_t depth, tx_pooling pooling, int64_t batch_tokens,
                            float *features, const char *stage, const tx_watch *watch,
                            tx_error *error) {
  const tx_tap tap = {depth, pooling, features, NULL};
  return tx_trunk_taps(model, pass, sequences, &tap, 1, batch_tokens, stage, watch, error);
}

tx_status tx_trunk_probe(const tx_model *model, tx_pass *pass, const tx_sequences *sequences,
                         int64_t depth, int64_t batch_tokens, float *probes, const char *stage,
                         const tx_watch *watch, tx_error *error) {
  walk w = {.model = model,
            .pass = pass,
            .sequences = sequences,
            .depth = depth,
            .probes = probes,
            .watch = watch};
  return walk_all(&w, batch_tokens, stage, NULL, error);
}
