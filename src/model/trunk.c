/* Batches of sequences through blocks, and pooling. */
#include "model/trunk.h"

#include <string.h>

#include "base/watch.h"

/* ---- pooling ----------------------------------------------------------- */

tx_status tx_pool_wanted(tx_pass *pass, const tx_batch *batch, tx_pooling pooling,
                         tx_wanted *wanted, tx_error *error) {
  *wanted = tx_wanted_all(batch);
  if (pooling == TX_POOLING_MEAN) return TX_OK;
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

void tx_pool_forward(tx_pass *pass, const tx_norm *norm, const tx_wanted *wanted, int64_t sequences,
                     const float *states, float *normed, float *mean, float *inverse,
                     float *features) {
  int64_t width = pass->facts->width;
  tx_norm_forward(pass, norm, wanted->count, states, normed, mean, inverse);
  for (int64_t b = 0; b < sequences; b++) {
    int64_t from = wanted->offsets[b], count = wanted->offsets[b + 1] - from;
    float *feature = features + b * width;
    memcpy(feature, normed + from * width, (size_t)width * sizeof *feature);
    for (int64_t r = 1; r < count; r++) {
      pass->kernels->add(feature, normed + (from + r) * width, width);
    }
    if (count > 1) pass->kernels->scale(feature, width, 1.0f / (float)count);
  }
}

tx_status tx_pool_backward(tx_pass *pass, const tx_norm *norm, const tx_wanted *wanted,
                           int64_t sequences, const float *states, const float *mean,
                           const float *inverse, const float *dfeatures, float *dstates,
                           float *dweight, float *dbias, tx_error *error) {
  int64_t width = pass->facts->width;
  size_t bytes = (size_t)(wanted->count * width) * sizeof(float);
  float *dnormed = tx_arena_alloc(pass->arena, bytes);
  if (!dnormed) return tx_fail_memory(error, bytes, "pooling's gradient");
  for (int64_t b = 0; b < sequences; b++) {
    int64_t from = wanted->offsets[b], count = wanted->offsets[b + 1] - from;
    for (int64_t r = from; r < from + count; r++) {
      memcpy(dnormed + r * width, dfeatures + b * width, (size_t)width * sizeof(float));
      if (count > 1) pass->kernels->scale(dnormed + r * width, width, 1.0f / (float)count);
    }
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
  *batch = (tx_batch){sequences, tokens, own, positions};
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

/* x (T, C) of one batch through the embeddings and blocks [0, blocks). */
static tx_status run_batch(const tx_model *model, tx_pass *pass, const tx_sequences *sequences,
                           int64_t from, int64_t count, int64_t blocks, float *x,
                           const tx_watch *watch, tx_error *error) {
  const int64_t *offsets = sequences->offsets + from;
  tx_batch batch;
  tx_arena_reset(pass->arena);
  TX_TRY(tx_batch_make(pass, offsets, count, &batch, error));
  TX_TRY(
      tx_model_embed(model, sequences->ids + offsets[0], batch.positions, batch.tokens, x, error));
  for (int64_t i = 0; i < blocks; i++) {
    TX_TRY(tx_watch_check(watch, error));
    tx_arena_reset(pass->arena);
    TX_TRY(tx_batch_make(pass, offsets, count, &batch, error));
    tx_wanted all = tx_wanted_all(&batch);
    tx_tape tape;
    TX_TRY(tx_block_forward(pass, tx_model_block(model, i), &batch, &all, x, x, &tape, error));
  }
  return TX_OK;
}

tx_status tx_trunk_run(const tx_model *model, tx_pass *pass, const tx_sequences *sequences,
                       int64_t blocks, int64_t batch_tokens, float *x, const char *stage,
                       const tx_watch *watch, tx_error *error) {
  int64_t total = sequences->offsets[sequences->count], width = tx_model_facts(model)->width;
  for (int64_t from = 0, end; from < sequences->count; from = end) {
    end = batch_end(sequences, from, batch_tokens);
    tx_watch_report(watch, stage, sequences->offsets[from], total, "tokens");
    TX_TRY(run_batch(model, pass, sequences, from, end - from, blocks,
                     x + sequences->offsets[from] * width, watch, error));
  }
  tx_watch_report(watch, stage, total, total, "tokens");
  return TX_OK;
}

static tx_status features_of_batch(const tx_model *model, tx_pass *pass,
                                   const tx_sequences *sequences, int64_t from, int64_t count,
                                   int64_t depth, tx_pooling pooling, float *x, float *features,
                                   const tx_watch *watch, tx_error *error) {
  int64_t width = tx_model_facts(model)->width;
  TX_TRY(run_batch(model, pass, sequences, from, count, depth - 1, x, watch, error));
  tx_batch batch;
  tx_wanted wanted;
  tx_tape tape;
  tx_arena_reset(pass->arena);
  TX_TRY(tx_batch_make(pass, sequences->offsets + from, count, &batch, error));
  TX_TRY(tx_pool_wanted(pass, &batch, pooling, &wanted, error));
  float *states = tx_arena_array(pass->arena, (size_t)(wanted.count * width), sizeof(float));
  float *normed = tx_arena_array(pass->arena, (size_t)(wanted.count * width), sizeof(float));
  if (!states || !normed)
    return tx_fail_memory(error, (uint64_t)(wanted.count * width) * 8, "states");
  TX_TRY(tx_block_forward(pass, tx_model_block(model, depth - 1), &batch, &wanted, x, states, &tape,
                          error));
  tx_pool_forward(pass, tx_model_output_norm(model), &wanted, count, states, normed, NULL, NULL,
                  features);
  return TX_OK;
}

tx_status tx_trunk_features(const tx_model *model, tx_pass *pass, const tx_sequences *sequences,
                            int64_t depth, tx_pooling pooling, int64_t batch_tokens,
                            float *features, const char *stage, const tx_watch *watch,
                            tx_error *error) {
  int64_t total = sequences->offsets[sequences->count], width = tx_model_facts(model)->width;
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
    if (status == TX_OK) {
      status = features_of_batch(model, pass, sequences, from, end - from, depth, pooling, x,
                                 features + from * width, watch, error);
    }
  }
  tx_free(x);
  if (status == TX_OK) tx_watch_report(watch, stage, total, total, "tokens");
  return status;
}
