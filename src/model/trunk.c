/* Batches of sequences through blocks, and pooling. */
#include "model/trunk.h"

#include <string.h>

#include "base/watch.h"

/* ---- pooling ----------------------------------------------------------- */

int64_t tx_pool_parts(tx_pooling pooling) { return pooling == TX_POOLING_LAST_MEAN ? 2 : 1; }

static bool has_mean(tx_pooling pooling) {
  return pooling == TX_POOLING_MEAN || pooling == TX_POOLING_LAST_MEAN;
}

tx_status tx_pool_wanted(tx_pass *pass, const tx_batch *batch, tx_pooling pooling,
                         tx_wanted *wanted, tx_error *error) {
  *wanted = tx_wanted_all(batch);
  if (has_mean(pooling)) return TX_OK;
  int64_t count = batch->sequences;
  size_t bytes = (size_t)(2 * count + 1) * sizeof(int64_t);
  int64_t *tokens = tx_arena_alloc(pass->arena, bytes);
  if (!tokens) return tx_fail_memory(error, bytes, "pooling");
  int64_t *offsets = tokens + count;
  for (int64_t b = 0; b < count; b++) {
    tokens[b] = pooling == TX_POOLING_LAST ? batch->offsets[b + 1] - 1 : batch->offsets[b];
    offsets[b] = b;
  }
  offsets[count] = count;
  *wanted = (tx_wanted){count, tokens, offsets};
  return TX_OK;
}

/* The one wanted row, or the last of all. */
static void pool_single(const float *normed, const tx_wanted *wanted, int64_t sequences,
                        int64_t width, int64_t stride, float *features) {
  for (int64_t b = 0; b < sequences; b++) {
    const float *row = normed + (wanted->offsets[b + 1] - 1) * width;
    memcpy(features + b * stride, row, (size_t)width * sizeof *row);
  }
}

static void pool_mean(const tx_kernels *kernels, const float *normed, const tx_wanted *wanted,
                      int64_t sequences, int64_t width, int64_t stride, float *features) {
  for (int64_t b = 0; b < sequences; b++) {
    int64_t from = wanted->offsets[b], count = wanted->offsets[b + 1] - from;
    float *feature = features + b * stride;
    memcpy(feature, normed + from * width, (size_t)width * sizeof *feature);
    for (int64_t r = 1; r < count; r++) kernels->add(feature, normed + (from + r) * width, width);
    if (count > 1) kernels->scale(feature, width, 1.0f / (float)count);
  }
}

void tx_pool_forward(tx_pass *pass, const tx_norm *norm, tx_pooling pooling,
                     const tx_wanted *wanted, int64_t sequences, const float *states,
                     float *normed, float *mean, float *inverse, float *features) {
  int64_t width = pass->facts->width, stride = tx_pool_parts(pooling) * width;
  tx_norm_forward(pass, norm, wanted->count, states, normed, mean, inverse);
  if (pooling != TX_POOLING_MEAN) pool_single(normed, wanted, sequences, width, stride, features);
  if (has_mean(pooling)) {
    pool_mean(pass->kernels, normed, wanted, sequences, width, stride, features + stride - width);
  }
}

tx_status tx_pool_backward(tx_pass *pass, const tx_norm *norm, tx_pooling pooling,
                           const tx_wanted *wanted, int64_t sequences, const float *states,
                           const float *mean, const float *inverse, const float *dfeatures,
                           float *dstates, float *dweight, float *dbias, tx_error *error) {
  int64_t width = pass->facts->width, stride = tx_pool_parts(pooling) * width;
  size_t bytes = (size_t)(wanted->count * width) * sizeof(float);
  float *dnormed = tx_arena_alloc(pass->arena, bytes);
  if (!dnormed) return tx_fail_memory(error, bytes, "pooling's gradient");
  memset(dnormed, 0, bytes);
  for (int64_t b = 0; b < sequences; b++) {
    int64_t from = wanted->offsets[b], end = wanted->offsets[b + 1];
    const float *dfeature = dfeatures + b * stride, *dmean = dfeature + stride - width;
    for (int64_t r = from; has_mean(pooling) && r < end; r++) {
      memcpy(dnormed + r * width, dmean, (size_t)width * sizeof *dmean);
      if (end - from > 1) pass->kernels->scale(dnormed + r * width, width, 1.0f / (float)(end - from));
    }
    if (pooling != TX_POOLING_MEAN) pass->kernels->add(dnormed + (end - 1) * width, dfeature, width);
  }
  memset(dstates, 0, bytes);
  tx_norm_backward(pass, norm, wanted->count, states, dnormed, mean, inverse, dstates, dweight,
                   dbias);
  return TX_OK;
}

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

/* The end of the batch that starts at sequence `from`: as many as the budget holds. */
static int64_t batch_end(const tx_sequences *sequences, int64_t from, int64_t budget) {
  int64_t end = from + 1;
  while (end < sequences->count &&
         sequences->offsets[end + 1] - sequences->offsets[from] <= budget) {
    end++;
  }
  return end;
}

/* What is done with one batch whose states are not kept: x (T, C) is scratch. */
typedef struct {
  const tx_model *model;
  tx_pass *pass;
  const tx_sequences *sequences;
  int64_t depth; /* the deepest that is wanted */
  const tx_tap *taps;
  size_t tap_count;
  float *probes; /* (count, depth + 1, 2, C), instead of taps; or NULL */
} walk;

/* The pooled states of one batch at one depth: the last token's and the mean's,
 * beside each other. */
static tx_status probe_batch(const walk *w, const tx_batch *batch, int64_t from, int64_t depth,
                             const float *x, tx_error *error) {
  tx_pass *pass = w->pass;
  int64_t width = pass->facts->width, step = TX_PROBE_PARTS * width;
  int64_t record = (w->depth + 1) * step; /* floats from one text's to the next's */
  float *probes = w->probes + from * record + depth * step;
  tx_wanted all = tx_wanted_all(batch);
  float *normed = tx_arena_array(pass->arena, (size_t)(batch->tokens * width), sizeof(float));
  if (!normed) return tx_fail_memory(error, (uint64_t)(batch->tokens * width) * 4, "states");
  tx_norm_forward(pass, tx_model_output_norm(w->model), batch->tokens, x, normed, NULL, NULL);
  pool_single(normed, &all, batch->sequences, width, record, probes);
  pool_mean(pass->kernels, normed, &all, batch->sequences, width, record, probes + width);
  return TX_OK;
}

/* From the states (R, C) of a tap's wanted rows to its features. */
static tx_status pool_tap(const walk *w, const tx_tap *tap, const tx_wanted *wanted,
                          int64_t sequences, int64_t from, const float *states, tx_error *error) {
  int64_t width = w->pass->facts->width, floats = wanted->count * width;
  float *normed = tx_arena_array(w->pass->arena, (size_t)floats, sizeof(float));
  if (!normed) return tx_fail_memory(error, (uint64_t)floats * 4, "states");
  tx_pool_forward(w->pass, tx_model_output_norm(w->model), tap->pooling, wanted, sequences, states,
                  normed, NULL, NULL, tap->features + from * tx_pool_parts(tap->pooling) * width);
  return TX_OK;
}

/* A tap's features from x (T, C), the states of all tokens at its depth. */
static tx_status take_tap(const walk *w, const tx_tap *tap, const tx_batch *batch, int64_t from,
                          const float *x, tx_error *error) {
  int64_t width = w->pass->facts->width;
  tx_wanted wanted;
  TX_TRY(tx_pool_wanted(w->pass, batch, tap->pooling, &wanted, error));
  const float *states = x;
  if (wanted.count < batch->tokens) {
    float *rows = tx_arena_array(w->pass->arena, (size_t)(wanted.count * width), sizeof(float));
    if (!rows) return tx_fail_memory(error, (uint64_t)(wanted.count * width) * 4, "states");
    for (int64_t r = 0; r < wanted.count; r++) {
      const float *row = x + tx_wanted_token(&wanted, r) * width;
      memcpy(rows + r * width, row, (size_t)width * sizeof *row);
    }
    states = rows;
  }
  return pool_tap(w, tap, &wanted, batch->sequences, from, states, error);
}

/* Takes what is wanted at a depth from x (T, C). */
static tx_status visit(const walk *w, const tx_batch *batch, int64_t from, int64_t depth,
                       const float *x, tx_error *error) {
  if (w->probes) return probe_batch(w, batch, from, depth, x, error);
  for (size_t i = 0; i < w->tap_count; i++) {
    if (w->taps[i].depth == depth) TX_TRY(take_tap(w, &w->taps[i], batch, from, x, error));
  }
  return TX_OK;
}

/* x (T, C) of one batch through the embeddings and blocks [0, blocks); what is
 * wanted is taken on the way. */
static tx_status run_batch(const walk *w, int64_t from, int64_t count, int64_t blocks, float *x,
                           const tx_watch *watch, tx_error *error) {
  const int64_t *offsets = w->sequences->offsets + from;
  tx_batch batch;
  tx_arena_reset(w->pass->arena);
  TX_TRY(tx_batch_make(w->pass, offsets, count, &batch, error));
  TX_TRY(tx_model_embed(w->model, w->sequences->ids + offsets[0], batch.positions, batch.tokens, x,
                        error));
  TX_TRY(visit(w, &batch, from, 0, x, error));
  for (int64_t i = 0; i < blocks; i++) {
    TX_TRY(tx_watch_check(watch, error));
    tx_arena_reset(w->pass->arena);
    TX_TRY(tx_batch_make(w->pass, offsets, count, &batch, error));
    tx_wanted all = tx_wanted_all(&batch);
    tx_tape tape;
    TX_TRY(tx_block_forward(w->pass, tx_model_block(w->model, i), &batch, &all, x, x, &tape,
                            error));
    TX_TRY(visit(w, &batch, from, i + 1, x, error));
  }
  return TX_OK;
}

tx_status tx_trunk_run(const tx_model *model, tx_pass *pass, const tx_sequences *sequences,
                       int64_t blocks, int64_t batch_tokens, float *x, const char *stage,
                       const tx_watch *watch, tx_error *error) {
  const walk w = {model, pass, sequences, blocks, NULL, 0, NULL};
  int64_t total = sequences->offsets[sequences->count], width = tx_model_facts(model)->width;
  for (int64_t from = 0, end; from < sequences->count; from = end) {
    end = batch_end(sequences, from, batch_tokens);
    tx_watch_report(watch, stage, sequences->offsets[from], total, "tokens");
    TX_TRY(run_batch(&w, from, end - from, blocks, x + sequences->offsets[from] * width, watch,
                     error));
  }
  tx_watch_report(watch, stage, total, total, "tokens");
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

/* The deepest block computes only the rows that its taps need. */
static tx_status run_taps(const walk *w, int64_t from, int64_t count, float *x,
                          const tx_watch *watch, tx_error *error) {
  int64_t width = w->pass->facts->width;
  if (w->depth == 0 || has_mean(deepest_pooling(w))) {
    return run_batch(w, from, count, w->depth, x, watch, error);
  }
  TX_TRY(run_batch(w, from, count, w->depth - 1, x, watch, error));
  tx_batch batch;
  tx_wanted wanted;
  tx_tape tape;
  tx_arena_reset(w->pass->arena);
  TX_TRY(tx_batch_make(w->pass, w->sequences->offsets + from, count, &batch, error));
  TX_TRY(tx_pool_wanted(w->pass, &batch, deepest_pooling(w), &wanted, error));
  float *states = tx_arena_array(w->pass->arena, (size_t)(wanted.count * width), sizeof(float));
  if (!states) return tx_fail_memory(error, (uint64_t)(wanted.count * width) * 4, "states");
  TX_TRY(tx_block_forward(w->pass, tx_model_block(w->model, w->depth - 1), &batch, &wanted, x,
                          states, &tape, error));
  for (size_t i = 0; i < w->tap_count; i++) {
    if (w->taps[i].depth != w->depth) continue;
    TX_TRY(pool_tap(w, &w->taps[i], &wanted, count, from, states, error));
  }
  return TX_OK;
}

static tx_status walk_batch(const walk *w, int64_t from, int64_t count, float *x,
                            const tx_watch *watch, tx_error *error) {
  if (w->probes) return run_batch(w, from, count, w->depth, x, watch, error);
  return run_taps(w, from, count, x, watch, error);
}

static tx_status walk_all(const walk *w, int64_t batch_tokens, const char *stage,
                          const tx_watch *watch, tx_error *error) {
  const tx_sequences *sequences = w->sequences;
  int64_t total = sequences->offsets[sequences->count], width = tx_model_facts(w->model)->width;
  float *x = NULL;
  int64_t room = 0;
  tx_status status = TX_OK;
  for (int64_t from = 0, end; from < sequences->count && status == TX_OK; from = end) {
    end = batch_end(sequences, from, batch_tokens);
    int64_t tokens = sequences->offsets[end] - sequences->offsets[from];
    tx_watch_report(watch, stage, sequences->offsets[from], total, "tokens");
    if (tokens > room) {
      tx_free(x);
      x = tx_alloc_array((size_t)(tokens * width), sizeof *x);
      room = x ? tokens : 0;
      if (!x) status = tx_fail_memory(error, (uint64_t)(tokens * width) * 4, "a batch's states");
    }
    if (status == TX_OK) status = walk_batch(w, from, end - from, x, watch, error);
  }
  tx_free(x);
  if (status == TX_OK) tx_watch_report(watch, stage, total, total, "tokens");
  return status;
}

tx_status tx_trunk_taps(const tx_model *model, tx_pass *pass, const tx_sequences *sequences,
                        const tx_tap *taps, size_t tap_count, int64_t batch_tokens,
                        const char *stage, const tx_watch *watch, tx_error *error) {
  walk w = {model, pass, sequences, 0, taps, tap_count, NULL};
  for (size_t i = 0; i < tap_count; i++) {
    if (taps[i].depth > w.depth) w.depth = taps[i].depth;
  }
  return walk_all(&w, batch_tokens, stage, watch, error);
}

tx_status tx_trunk_features(const tx_model *model, tx_pass *pass, const tx_sequences *sequences,
                            int64_t depth, tx_pooling pooling, int64_t batch_tokens,
                            float *features, const char *stage, const tx_watch *watch,
                            tx_error *error) {
  const tx_tap tap = {depth, pooling, features};
  return tx_trunk_taps(model, pass, sequences, &tap, 1, batch_tokens, stage, watch, error);
}

tx_status tx_trunk_probe(const tx_model *model, tx_pass *pass, const tx_sequences *sequences,
                         int64_t depth, int64_t batch_tokens, float *probes, const char *stage,
                         const tx_watch *watch, tx_error *error) {
  walk w = {model, pass, sequences, depth, NULL, 0, probes};
  return walk_all(&w, batch_tokens, stage, watch, error);
}
