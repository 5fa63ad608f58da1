/* Single rows, means, and means weighed by a query. */
#include "model/pool.h"

#include <string.h>

#include "base/exact.h"

int64_t tx_pool_parts(tx_pooling pooling) { return pooling == TX_POOLING_LAST_MEAN ? 2 : 1; }

bool tx_pool_needs_all(tx_pooling pooling) {
  return pooling == TX_POOLING_MEAN || pooling == TX_POOLING_LAST_MEAN ||
         pooling == TX_POOLING_ATTENTION;
}

static bool has_single(tx_pooling pooling) {
  return pooling != TX_POOLING_MEAN && pooling != TX_POOLING_ATTENTION;
}

tx_status tx_pool_wanted(tx_pass *pass, const tx_batch *batch, tx_pooling pooling,
                         tx_wanted *wanted, tx_error *error) {
  *wanted = tx_wanted_all(batch);
  if (tx_pool_needs_all(pooling)) return TX_OK;
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

/* ---- forward ----------------------------------------------------------- */

static void mean_of(const tx_kernels *kernels, const float *normed, const tx_span *spans,
                    int64_t count, int64_t width, float *feature) {
  int64_t rows = 0;
  for (int64_t s = 0; s < count; s++) {
    for (int64_t r = spans[s].from; r < spans[s].to; r++) {
      if (rows++ == 0) {
        memcpy(feature, normed + r * width, (size_t)width * sizeof *feature);
      } else {
        kernels->add(feature, normed + r * width, width);
      }
    }
  }
  if (rows > 1) kernels->scale(feature, width, 1.0f / (float)rows);
}

/* shares (rows): the softmax of query . row, in double. */
static void share_out(const tx_kernels *kernels, const float *query, const float *normed,
                      const tx_span *spans, int64_t count, int64_t width, double *shares) {
  int64_t rows = 0;
  double top = 0, sum = 0;
  for (int64_t s = 0; s < count; s++) {
    for (int64_t r = spans[s].from; r < spans[s].to; r++) {
      double score = (double)kernels->dot(query, normed + r * width, width);
      top = rows == 0 || score > top ? score : top;
      shares[rows++] = score;
    }
  }
  for (int64_t i = 0; i < rows; i++) sum += shares[i] = tx_exp(shares[i] - top);
  for (int64_t i = 0; i < rows; i++) shares[i] /= sum;
}

tx_status tx_pool_rows(tx_pass *pass, tx_pool pool, const float *normed, const tx_span *spans,
                       int64_t count, float *feature, tx_error *error) {
  int64_t width = pass->facts->width, rows = 0, at = 0;
  if (pool.pooling != TX_POOLING_ATTENTION) {
    mean_of(pass->kernels, normed, spans, count, width, feature);
    return TX_OK;
  }
  for (int64_t s = 0; s < count; s++) rows += spans[s].to - spans[s].from;
  double *shares = tx_arena_array(pass->arena, (size_t)rows, sizeof *shares);
  if (!shares) return tx_fail_memory(error, (uint64_t)rows * 8, "pooling");
  share_out(pass->kernels, pool.query, normed, spans, count, width, shares);
  memset(feature, 0, (size_t)width * sizeof *feature);
  for (int64_t s = 0; s < count; s++) {
    for (int64_t r = spans[s].from; r < spans[s].to; r++) {
      pass->kernels->add_scaled(feature, normed + r * width, (float)shares[at++], width);
    }
  }
  return TX_OK;
}

tx_status tx_pool_forward(tx_pass *pass, const tx_norm *norm, tx_pool pool,
                          const tx_wanted *wanted, int64_t sequences, const float *states,
                          float *normed, float *mean, float *inverse, float *features,
                          tx_error *error) {
  int64_t width = pass->facts->width, stride = tx_pool_parts(pool.pooling) * width;
  tx_norm_forward(pass, norm, wanted->count, states, normed, mean, inverse);
  for (int64_t b = 0; b < sequences; b++) {
    const tx_span rows = {wanted->offsets[b], wanted->offsets[b + 1]};
    float *feature = features + b * stride;
    if (has_single(pool.pooling)) { /* the one wanted row, or the last of all */
      memcpy(feature, normed + (rows.to - 1) * width, (size_t)width * sizeof *feature);
    }
    if (!tx_pool_needs_all(pool.pooling)) continue;
    TX_TRY(tx_pool_rows(pass, pool, normed, &rows, 1, feature + stride - width, error));
  }
  return TX_OK;
}

/* ---- backward ---------------------------------------------------------- */

static void mean_backward(const tx_kernels *kernels, tx_span rows, int64_t width,
                          const float *dmean, float *dnormed) {
  for (int64_t r = rows.from; r < rows.to; r++) {
    memcpy(dnormed + r * width, dmean, (size_t)width * sizeof *dmean);
    if (rows.to - rows.from < 2) continue;
    kernels->scale(dnormed + r * width, width, 1.0f / (float)(rows.to - rows.from));
  }
}

/* With share s of row n and gradient g at the feature f: the score's gradient is
 * s (g . n - g . f), and f is the sum of s n. */
static tx_status attention_backward(tx_pass *pass, const float *query, const float *normed,
                                    tx_span rows, const float *dfeature, float *dnormed,
                                    float *dquery, tx_error *error) {
  const tx_kernels *kernels = pass->kernels;
  int64_t width = pass->facts->width, count = rows.to - rows.from;
  double *shares = tx_arena_array(pass->arena, (size_t)(2 * count), sizeof *shares), sum = 0;
  if (!shares) return tx_fail_memory(error, (uint64_t)count * 16, "pooling's gradient");
  double *along = shares + count;
  share_out(kernels, query, normed, &rows, 1, width, shares);
  for (int64_t i = 0; i < count; i++) {
    along[i] = (double)kernels->dot(dfeature, normed + (rows.from + i) * width, width);
    sum += shares[i] * along[i];
  }
  for (int64_t i = 0; i < count; i++) {
    const float *row = normed + (rows.from + i) * width;
    float *drow = dnormed + (rows.from + i) * width, slope = (float)(shares[i] * (along[i] - sum));
    kernels->add_scaled(drow, dfeature, (float)shares[i], width);
    kernels->add_scaled(drow, query, slope, width);
    if (dquery) kernels->add_scaled(dquery, row, slope, width);
  }
  return TX_OK;
}

tx_status tx_pool_backward(tx_pass *pass, const tx_norm *norm, tx_pool pool,
                           const tx_wanted *wanted, int64_t sequences, const float *states,
                           const float *normed, const float *mean, const float *inverse,
                           const float *dfeatures, float *dstates, float *dweight, float *dbias,
                           float *dquery, tx_error *error) {
  int64_t width = pass->facts->width, stride = tx_pool_parts(pool.pooling) * width;
  size_t bytes = (size_t)(wanted->count * width) * sizeof(float);
  float *dnormed = tx_arena_alloc(pass->arena, bytes);
  if (!dnormed) return tx_fail_memory(error, bytes, "pooling's gradient");
  memset(dnormed, 0, bytes);
  for (int64_t b = 0; b < sequences; b++) {
    const tx_span rows = {wanted->offsets[b], wanted->offsets[b + 1]};
    const float *dfeature = dfeatures + b * stride;
    if (pool.pooling == TX_POOLING_ATTENTION) {
      TX_TRY(attention_backward(pass, pool.query, normed, rows, dfeature, dnormed, dquery, error));
    } else if (tx_pool_needs_all(pool.pooling)) {
      mean_backward(pass->kernels, rows, width, dfeature + stride - width, dnormed);
    }
    if (has_single(pool.pooling)) {
      pass->kernels->add(dnormed + (rows.to - 1) * width, dfeature, width);
    }
  }
  memset(dstates, 0, bytes);
  tx_norm_backward(pass, norm, wanted->count, states, dnormed, mean, inverse, dstates, dweight,
                   dbias);
  return TX_OK;
}
