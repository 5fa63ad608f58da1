/* Grouped-query attention over ragged sequences, forward and backward.
 *
 * Keys and values of each sequence and key/value head are packed as panels
 * once; then query rows are taken a chunk at a time, so memory grows with the
 * length and not with its square.  A row's sums run over the keys it may see, in
 * rising order. */
#include <math.h>
#include <string.h>

#include "base/parallel.h"
#include "kernels/product.h"
#include "model/pass.h"

enum { CHUNK = 48 }; /* query rows at a time */

typedef struct {
  const tx_pass *pass;
  const tx_batch *batch;
  const tx_wanted *wanted;
  const float *query, *key, *value;
  float *attended;
  /* packed, for sequence b and head g at start[b] * G + g * (start[b + 1] - start[b]): */
  float *keys;                      /* keys as columns: depth D, columns t */
  float *values;                    /* values as rows: depth t, columns D */
  int64_t *key_start, *value_start; /* (B + 1), in floats, for one head */
  int64_t *chunk_start;             /* (B + 1), chunks of wanted rows before sequence b */
  float *scores;                    /* (workers, CHUNK * score_stride) */
  int64_t score_stride;             /* the longest sequence, in whole panels */
  float scale;
  /* backward */
  const float *dattended;
  float *dquery, *dkey, *dvalue;
} attention;

static int64_t length_of(const tx_batch *batch, int64_t b) {
  return batch->offsets[b + 1] - batch->offsets[b];
}

static void *arena_floats(tx_pass *pass, int64_t count) {
  return tx_arena_array(pass->arena, (size_t)count, sizeof(float));
}

static tx_status prepare(attention *a, tx_pass *pass, const tx_batch *batch,
                         const tx_wanted *wanted, tx_error *error) {
  const tx_facts *facts = pass->facts;
  a->pass = pass, a->batch = batch, a->wanted = wanted;
  a->scale = (float)(1.0 / sqrt((double)facts->head_size));
  size_t bytes = (size_t)(batch->sequences + 1) * sizeof(int64_t);
  a->key_start = tx_arena_alloc(pass->arena, bytes);
  a->value_start = tx_arena_alloc(pass->arena, bytes);
  a->chunk_start = tx_arena_alloc(pass->arena, bytes);
  if (!a->key_start || !a->value_start || !a->chunk_start) {
    return tx_fail_memory(error, bytes, "attention");
  }
  a->key_start[0] = a->value_start[0] = a->chunk_start[0] = 0;
  for (int64_t b = 0; b < batch->sequences; b++) {
    int64_t length = length_of(batch, b), rows = wanted->offsets[b + 1] - wanted->offsets[b];
    int64_t key_floats = (int64_t)tx_packed_size(facts->head_size, length);
    a->key_start[b + 1] = a->key_start[b] + key_floats;
    a->value_start[b + 1] = a->value_start[b] + (int64_t)tx_packed_size(length, facts->head_size);
    a->chunk_start[b + 1] = a->chunk_start[b] + (rows + CHUNK - 1) / CHUNK;
    int64_t stride = key_floats / facts->head_size;
    if (stride > a->score_stride) a->score_stride = stride;
  }
  a->scores = arena_floats(pass, 2 * tx_threads() * CHUNK * a->score_stride);
  return a->scores ? TX_OK : tx_fail_memory(error, 0, "attention scores");
}

/* Packs rows (t, D) of one head as columns (depth D) and as rows (depth t). */
static void pack_as_columns(const attention *a, const float *rows, int64_t b, float *panels) {
  int64_t size = a->pass->facts->head_size, stride = size * a->pass->facts->kv_heads;
  int64_t length = length_of(a->batch, b);
  for (int64_t first = 0; first < length; first += TX_PANEL) {
    int64_t columns = length - first < TX_PANEL ? length - first : TX_PANEL;
    tx_pack_panel(rows + first * stride, 1, stride, size, columns, panels + first * size);
  }
}

static void pack_as_rows(const float *rows, ptrdiff_t stride, int64_t length, int64_t size,
                         float *panels) {
  for (int64_t first = 0; first < size; first += TX_PANEL) {
    int64_t columns = size - first < TX_PANEL ? size - first : TX_PANEL;
    tx_pack_panel(rows + first, stride, 1, length, columns, panels + first * length);
  }
}

static void pack_task(void *context, int64_t index, int worker) {
  (void)worker;
  const attention *a = context;
  const tx_facts *facts = a->pass->facts;
  int64_t b = index / facts->kv_heads, g = index % facts->kv_heads, size = facts->head_size;
  int64_t from = (a->batch->offsets[b] * facts->kv_heads + g) * size,
          length = length_of(a->batch, b);
  int64_t key_floats = a->key_start[b + 1] - a->key_start[b];
  int64_t value_floats = a->value_start[b + 1] - a->value_start[b];
  pack_as_columns(a, a->key + from, b,
                  a->keys + a->key_start[b] * facts->kv_heads + g * key_floats);
  pack_as_rows(a->value + from, size * facts->kv_heads, length, size,
               a->values + a->value_start[b] * facts->kv_heads + g * value_floats);
}

/* y (rows, columns) = x (rows, depth) . panels, in this thread. */
static void multiply(const attention *a, int64_t rows, int64_t depth, int64_t columns,
                     const float *x, ptrdiff_t x_row, ptrdiff_t x_step, const float *panels,
                     int64_t panel_depth, bool accumulate, float *y, ptrdiff_t y_row) {
  for (int64_t first = 0; first < columns; first += TX_PANEL) {
    int64_t width = columns - first < TX_PANEL ? columns - first : TX_PANEL;
    a->pass->kernels->product(rows, depth, width, x, x_row, x_step, panels + first * panel_depth,
                              NULL, accumulate, y + first, y_row);
  }
}

/* Keys that the wanted row may see. */
static int64_t visible(const attention *a, int64_t b, int64_t row) {
  if (!a->pass->facts->architecture->causal) return length_of(a->batch, b);
  return a->batch->positions[tx_wanted_token(a->wanted, row)] + 1;
}

/* A chunk of wanted rows [row, row + count) of sequence b, for one query head. */
typedef struct {
  int64_t b, g, head, row, count;
  int64_t extent; /* keys that the chunk's last row sees */
} chunk;

/* weights (count, extent) = exp of the scaled scores, 0 where a row must not
 * see; sums (count). */
static void chunk_weights(const attention *a, const chunk *c, const float *keys, float *weights,
                          float *sums) {
  const tx_facts *facts = a->pass->facts;
  int64_t stride = a->score_stride, width = facts->heads * facts->head_size;
  multiply(a, c->count, facts->head_size, c->extent,
           a->query + c->row * width + c->head * facts->head_size, width, 1, keys, facts->head_size,
           false, weights, stride);
  for (int64_t r = 0; r < c->count; r++) {
    int64_t seen = visible(a, c->b, c->row + r);
    sums[r] = a->pass->kernels->softmax_exp(weights + r * stride, seen, a->scale);
    memset(weights + r * stride + seen, 0, (size_t)(c->extent - seen) * sizeof *weights);
  }
}

static void attend_task(void *context, int64_t index, int worker) {
  const attention *a = context;
  const tx_facts *facts = a->pass->facts;
  int64_t size = facts->head_size, width = facts->heads * size;
  int64_t chunk_index = index / facts->heads, low = 0, high = a->batch->sequences - 1;
  while (low < high) { /* the last sequence whose chunks start at or before this one */
    int64_t middle = (low + high + 1) / 2;
    if (a->chunk_start[middle] <= chunk_index) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  chunk c = {.b = low, .head = index % facts->heads};
  c.g = c.head / (facts->heads / facts->kv_heads);
  c.row = a->wanted->offsets[c.b] + (chunk_index - a->chunk_start[c.b]) * CHUNK;
  int64_t left = a->wanted->offsets[c.b + 1] - c.row;
  c.count = left < CHUNK ? left : CHUNK;
  c.extent = visible(a, c.b, c.row + c.count - 1);
  const float *keys = a->keys + a->key_start[c.b] * facts->kv_heads +
                      c.g * (a->key_start[c.b + 1] - a->key_start[c.b]);
  const float *values = a->values + a->value_start[c.b] * facts->kv_heads +
                        c.g * (a->value_start[c.b + 1] - a->value_start[c.b]);
  float *weights = a->scores + worker * 2 * CHUNK * a->score_stride, sums[CHUNK];
  chunk_weights(a, &c, keys, weights, sums);
  float *out = a->attended + c.row * width + c.head * size;
  multiply(a, c.count, c.extent, size, weights, a->score_stride, 1, values,
           length_of(a->batch, c.b), false, out, width);
  for (int64_t r = 0; r < c.count; r++) {
    a->pass->kernels->scale(out + r * width, size, 1.0f / sums[r]);
  }
}

tx_status tx_attention_forward(tx_pass *pass, const tx_batch *batch, const tx_wanted *wanted,
                               const float *query, const float *key, const float *value,
                               float *attended, tx_error *error) {
  attention a = {.query = query, .key = key, .value = value, .attended = attended};
  int64_t kv_heads = pass->facts->kv_heads;
  TX_TRY(prepare(&a, pass, batch, wanted, error));
  a.keys = arena_floats(pass, a.key_start[batch->sequences] * kv_heads);
  a.values = arena_floats(pass, a.value_start[batch->sequences] * kv_heads);
  if (!a.keys || !a.values) return tx_fail_memory(error, 0, "attention's keys and values");
  tx_parallel(batch->sequences * kv_heads, pack_task, &a);
  tx_parallel(a.chunk_start[batch->sequences] * pass->facts->heads, attend_task, &a);
  return TX_OK;
}

/* ---- backward ---------------------------------------------------------- */

/* With P the normalised weights, S the scores and dP = dO . V^T:
 *   dV = P^T . dO      dS = P * (dP - sum(dO * O)) * scale
 *   dQ = dS . K        dK = dS^T . Q                                        */
typedef struct {
  float *keys_by_column, *values_by_column, *keys_by_row, *chunk_rows;
} backward_panels;

static void chunk_backward(const attention *a, const chunk *c, const backward_panels *panels,
                           float *weights) {
  const tx_facts *facts = a->pass->facts;
  const tx_kernels *k = a->pass->kernels;
  int64_t size = facts->head_size, width = facts->heads * size, kv_width = facts->kv_heads * size;
  int64_t stride = a->score_stride, length = length_of(a->batch, c->b);
  int64_t at = c->row * width + c->head * size;
  int64_t kv_at = a->batch->offsets[c->b] * kv_width + c->g * size;
  float *slopes = weights + CHUNK * stride, sums[CHUNK];
  chunk_weights(a, c, panels->keys_by_column, weights, sums);
  for (int64_t r = 0; r < c->count; r++) k->scale(weights + r * stride, c->extent, 1.0f / sums[r]);
  pack_as_rows(a->dattended + at, width, c->count, size, panels->chunk_rows);
  multiply(a, c->extent, c->count, size, weights, 1, stride, panels->chunk_rows, c->count, true,
           a->dvalue + kv_at, kv_width);
  multiply(a, c->count, size, c->extent, a->dattended + at, width, 1, panels->values_by_column,
           size, false, slopes, stride);
  for (int64_t r = 0; r < c->count; r++) {
    float along = k->dot(a->dattended + at + r * width, a->attended + at + r * width, size);
    float *slope = slopes + r * stride, *weight = weights + r * stride;
    for (int64_t s = 0; s < c->extent; s++) slope[s] = weight[s] * (slope[s] - along) * a->scale;
  }
  multiply(a, c->count, c->extent, size, slopes, stride, 1, panels->keys_by_row, length, false,
           a->dquery + at, width);
  pack_as_rows(a->query + at, width, c->count, size, panels->chunk_rows);
  multiply(a, c->extent, c->count, size, slopes, 1, stride, panels->chunk_rows, c->count, true,
           a->dkey + kv_at, kv_width);
}

/* One sequence and key/value head: its query heads one after another, so that
 * dkey and dvalue are summed in one order. */
static void backward_task(void *context, int64_t index, int worker) {
  const attention *a = context;
  const tx_facts *facts = a->pass->facts;
  int64_t b = index / facts->kv_heads, g = index % facts->kv_heads, size = facts->head_size;
  int64_t length = length_of(a->batch, b), group = facts->heads / facts->kv_heads;
  int64_t from = (a->batch->offsets[b] * facts->kv_heads + g) * size;
  int64_t columns = (int64_t)tx_packed_size(size, a->score_stride);
  int64_t rows = (int64_t)tx_packed_size(a->score_stride, size);
  float *memory = a->keys + worker * (2 * columns + 2 * rows);
  backward_panels panels = {memory, memory + columns, memory + 2 * columns,
                            memory + 2 * columns + rows};
  pack_as_columns(a, a->key + from, b, panels.keys_by_column);
  pack_as_columns(a, a->value + from, b, panels.values_by_column);
  pack_as_rows(a->key + from, size * facts->kv_heads, length, size, panels.keys_by_row);
  for (int64_t head = g * group; head < (g + 1) * group; head++) {
    for (int64_t row = a->wanted->offsets[b]; row < a->wanted->offsets[b + 1]; row += CHUNK) {
      int64_t left = a->wanted->offsets[b + 1] - row;
      chunk c = {b, g, head, row, left < CHUNK ? left : CHUNK, 0};
      c.extent = visible(a, b, row + c.count - 1);
      chunk_backward(a, &c, &panels, a->scores + worker * 2 * CHUNK * a->score_stride);
    }
  }
}

tx_status tx_attention_backward(tx_pass *pass, const tx_batch *batch, const tx_wanted *wanted,
                                const float *query, const float *key, const float *value,
                                const float *attended, const float *dattended, float *dquery,
                                float *dkey, float *dvalue, tx_error *error) {
  attention a = {.query = query,
                 .key = key,
                 .value = value,
                 .attended = (float *)attended,
                 .dattended = dattended,
                 .dquery = dquery,
                 .dkey = dkey,
                 .dvalue = dvalue};
  const tx_facts *facts = pass->facts;
  size_t bytes = (size_t)(batch->tokens * facts->kv_heads * facts->head_size) * sizeof(float);
  TX_TRY(prepare(&a, pass, batch, wanted, error));
  int64_t columns = (int64_t)tx_packed_size(facts->head_size, a.score_stride);
  int64_t rows = (int64_t)tx_packed_size(a.score_stride, facts->head_size);
  a.keys = arena_floats(pass, tx_threads() * (2 * columns + 2 * rows));
  if (!a.keys) return tx_fail_memory(error, 0, "attention's gradient");
  memset(dkey, 0, bytes);
  memset(dvalue, 0, bytes);
  tx_parallel(batch->sequences * facts->kv_heads, backward_task, &a);
  return TX_OK;
}
