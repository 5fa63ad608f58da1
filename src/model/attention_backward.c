/* The backward of attention over a batch of whole sequences.
 *
 * The weights of a chunk of query rows are computed again, over all the keys that
 * it sees; memory grows with the length and not with its square.  Stretches that
 * continue others are never trained on. */
#include <math.h>
#include <string.h>

#include "base/parallel.h"
#include "kernels/product.h"
#include "model/pass.h"

enum { CHUNK = 48 }; /* query rows at a time */

typedef struct {
  tx_pass *pass;
  const tx_batch *batch;
  const tx_wanted *wanted;
  const float *query, *key, *value, *attended, *dattended;
  float *dquery, *dkey, *dvalue;
  float *panels;        /* (workers): of one sequence and head, see backward_panels */
  float *scores;        /* (workers, 2, CHUNK * score_stride) */
  int64_t score_stride; /* the longest sequence, in whole panels */
  float scale;
} attention;

static int64_t length_of(const tx_batch *batch, int64_t b) {
  return batch->offsets[b + 1] - batch->offsets[b];
}

static void *arena_floats(tx_pass *pass, int64_t count) {
  return tx_arena_array(pass->arena, (size_t)count, sizeof(float));
}

static tx_status prepare(attention *a, tx_error *error) {
  const tx_facts *facts = a->pass->facts;
  a->scale = (float)(1.0 / sqrt((double)facts->head_size));
  for (int64_t b = 0; b < a->batch->sequences; b++) {
    int64_t stride = (length_of(a->batch, b) + TX_PANEL - 1) / TX_PANEL * TX_PANEL;
    if (stride > a->score_stride) a->score_stride = stride;
  }
  int64_t columns = (int64_t)tx_packed_size(facts->head_size, a->score_stride);
  int64_t rows = (int64_t)tx_packed_size(a->score_stride, facts->head_size);
  a->scores = arena_floats(a->pass, 2 * tx_threads() * CHUNK * a->score_stride);
  a->panels = arena_floats(a->pass, tx_threads() * (2 * columns + 2 * rows));
  return a->scores && a->panels ? TX_OK : tx_fail_memory(error, 0, "attention's gradient");
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

/* The keys [from, to) that the wanted row may see. */
static void visible(const attention *a, int64_t b, int64_t row, int64_t *from, int64_t *to) {
  int64_t window = a->pass->facts->window, length = length_of(a->batch, b);
  int64_t position = a->batch->positions[tx_wanted_token(a->wanted, row)];
  *from = window && position >= window ? position - window + 1 : 0;
  bool causal = a->pass->facts->architecture->causal && !a->batch->two_way;
  *to = causal ? position + 1 : length;
  if (window && *to - position > window) *to = position + window;
}

/* A chunk of wanted rows [row, row + count) of sequence b, for one query head. */
typedef struct {
  int64_t b, g, head, row, count;
  int64_t extent; /* keys up to the last that its last row sees */
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
    int64_t from, to;
    visible(a, c->b, c->row + r, &from, &to);
    float *row = weights + r * stride;
    sums[r] = a->pass->kernels->softmax_exp(row + from, to - from, a->scale);
    memset(row, 0, (size_t)from * sizeof *row);
    memset(row + to, 0, (size_t)(c->extent - to) * sizeof *row);
  }
}

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
  float *memory = a->panels + worker * (2 * columns + 2 * rows);
  backward_panels panels = {memory, memory + columns, memory + 2 * columns,
                            memory + 2 * columns + rows};
  pack_as_columns(a, a->key + from, b, panels.keys_by_column);
  pack_as_columns(a, a->value + from, b, panels.values_by_column);
  pack_as_rows(a->key + from, size * facts->kv_heads, length, size, panels.keys_by_row);
  for (int64_t head = g * group; head < (g + 1) * group; head++) {
    for (int64_t row = a->wanted->offsets[b]; row < a->wanted->offsets[b + 1]; row += CHUNK) {
      int64_t left = a->wanted->offsets[b + 1] - row;
      chunk c = {b, g, head, row, left < CHUNK ? left : CHUNK, 0};
      int64_t unused;
      visible(a, b, row + c.count - 1, &unused, &c.extent);
      chunk_backward(a, &c, &panels, a->scores + worker * 2 * CHUNK * a->score_stride);
    }
  }
}

tx_status tx_attention_backward(tx_pass *pass, const tx_batch *batch, const tx_wanted *wanted,
                                const float *query, const float *key, const float *value,
                                const float *attended, const float *dattended, float *dquery,
                                float *dkey, float *dvalue, tx_error *error) {
  const tx_facts *facts = pass->facts;
  attention a = {.pass = pass,
                 .batch = batch,
                 .wanted = wanted,
                 .query = query,
                 .key = key,
                 .value = value,
                 .attended = attended,
                 .dattended = dattended,
                 .dquery = dquery,
                 .dkey = dkey,
                 .dvalue = dvalue};
  size_t bytes = (size_t)(batch->tokens * facts->kv_heads * facts->head_size) * sizeof(float);
  TX_TRY(prepare(&a, error));
  memset(dkey, 0, bytes);
  memset(dvalue, 0, bytes);
  tx_parallel(batch->sequences * facts->kv_heads, backward_task, &a);
  return TX_OK;
}
