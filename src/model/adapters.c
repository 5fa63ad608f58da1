/* Low-rank adapters beside the matrices of a block: y = gain (x . W^T + scale (x . A^T) . B^T),
 * with some inputs of A left out where a step drops them. */
#include <string.h>

#include "base/parallel.h"
#include "base/random.h"
#include "model/block_parts.h"

/* ---- dropout ----------------------------------------------------------- */

enum { DROP_ROWS = 16 }; /* of a task */

typedef struct {
  const tx_adapter *adapter;
  const uint64_t *keys; /* (rows): what each row's choice is drawn from */
  int64_t rows, width;
  float *x;
} dropping;

/* 16 bits of chance an element: it is left out where they are below the share of 2^16. */
static void drop_row(const tx_adapter *adapter, uint64_t key, int64_t width, float *x) {
  tx_random random = tx_random_seed(key ^ adapter->salt);
  uint32_t limit = (uint32_t)(adapter->dropout * 65536.0f);
  float kept = 1 / (1 - adapter->dropout);
  for (int64_t i = 0; i < width; i += 4) {
    uint64_t chance = tx_random_next(&random);
    for (int64_t k = i; k < width && k < i + 4; k++, chance >>= 16) {
      x[k] = (uint32_t)(chance & 0xffff) < limit ? 0 : x[k] * kept;
    }
  }
}

static void drop_task(void *context, int64_t index, int worker) {
  (void)worker;
  const dropping *d = context;
  int64_t end = (index + 1) * DROP_ROWS < d->rows ? (index + 1) * DROP_ROWS : d->rows;
  for (int64_t row = index * DROP_ROWS; row < end; row++) {
    drop_row(d->adapter, d->keys[row], d->width, d->x + row * d->width);
  }
}

/* Of a text's stream and the token's place in it: the same in whatever batch. */
static void make_keys(const tx_batch *batch, const tx_wanted *rows, uint64_t *keys) {
  for (int64_t b = 0; b < batch->sequences; b++) {
    for (int64_t row = rows->offsets[b]; row < rows->offsets[b + 1]; row++) {
      uint64_t position = (uint64_t)batch->positions[tx_wanted_token(rows, row)];
      keys[row] = batch->streams[b] + position * 0x9e3779b97f4a7c15u;
    }
  }
}

/* x (rows, inputs of the slot), in place. */
static tx_status drop(const tx_block_run *run, tx_matrix_slot slot, int64_t rows, float *x,
                      tx_error *error) {
  const tx_matrix *matrix = &run->block->matrix[slot];
  tx_wanted all = tx_wanted_all(run->batch);
  bool every = slot == TX_MATRIX_KEY || slot == TX_MATRIX_VALUE;
  uint64_t *keys = tx_arena_array(run->pass->arena, (size_t)rows, sizeof *keys);
  if (!keys) return tx_fail_memory(error, (uint64_t)rows * 8, "dropout");
  make_keys(run->batch, every ? &all : run->wanted, keys);
  dropping d = {matrix->adapter, keys, rows, matrix->inputs, x};
  tx_parallel((rows + DROP_ROWS - 1) / DROP_ROWS, drop_task, &d);
  return TX_OK;
}

static bool drops(const tx_block_run *run, const tx_adapter *adapter) {
  return run->batch->streams && adapter->dropout > 0;
}

/* What A reads: x, or in the arena a copy with some of it left out; NULL: no memory. */
static const float *input_of(const tx_block_run *run, tx_matrix_slot slot, int64_t rows,
                             const float *x, tx_error *error) {
  const tx_matrix *matrix = &run->block->matrix[slot];
  bool failed = false;
  if (!drops(run, matrix->adapter)) return x;
  float *copy = tx_take_rows(run->pass, rows, matrix->inputs, &failed);
  if (!failed) memcpy(copy, x, (size_t)(rows * matrix->inputs) * sizeof *x);
  if (failed) (void)tx_fail_memory(error, (uint64_t)(rows * matrix->inputs) * 4, "dropout");
  return failed || drop(run, slot, rows, copy, error) != TX_OK ? NULL : copy;
}

/* ---- forward ----------------------------------------------------------- */

static void scale_all(float *values, int64_t count, float scale) {
  for (int64_t i = 0; i < count; i++) values[i] *= scale;
}

/* y less the bias is kept, and multiplied. */
static void apply_gain(const tx_matrix *matrix, int64_t rows, float *plain, float *y) {
  int64_t width = matrix->outputs;
  const float *gain = matrix->adapter->gain, *bias = matrix->bias;
  for (int64_t row = 0; row < rows; row++, y += width, plain += width) {
    for (int64_t n = 0; n < width; n++) {
      float own = bias ? bias[n] : 0;
      plain[n] = y[n] - own;
      y[n] = plain[n] * gain[n] + own;
    }
  }
}

tx_status tx_adapter_forward(const tx_block_run *run, const tx_product_of *p, tx_tape *tape,
                             tx_error *error) {
  const tx_matrix *matrix = &run->block->matrix[p->slot];
  const tx_adapter *adapter = matrix->adapter;
  int64_t rank = adapter->rank;
  float *low = tape->low[p->slot];
  tx_arena_mark mark = tx_arena_here(run->pass->arena);
  const float *x = input_of(run, p->slot, p->rows, p->x, error);
  if (!x) return TX_ERROR_SYSTEM;
  tx_multiply_rows(run->pass, x, p->rows, matrix->inputs, rank, adapter->a, false, low);
  tx_arena_release(run->pass->arena, mark);
  scale_all(low, p->rows * rank, adapter->scale);
  tx_multiply_rows(run->pass, low, p->rows, rank, matrix->outputs, adapter->b, true, p->y);
  if (adapter->gain) apply_gain(matrix, p->rows, tape->plain[p->slot], p->y);
  return TX_OK;
}

/* ---- backward ---------------------------------------------------------- */

const float *tx_gain_backward(const tx_block_run *run, const tx_tape *tape, tx_matrix_slot slot,
                              int64_t rows, const float *dy, const tx_block_gradient *gradient) {
  const tx_matrix *matrix = &run->block->matrix[slot];
  const tx_adapter *adapter = matrix->adapter;
  int64_t width = matrix->outputs;
  float *dmagnitude = gradient->magnitude[slot];
  bool failed = false;
  float *through = tx_take_rows(run->pass, rows, width, &failed);
  if (failed) return NULL;
  for (int64_t row = 0; row < rows; row++) {
    const float *d = dy + row * width, *plain = tape->plain[slot] + row * width;
    for (int64_t n = 0; n < width; n++) {
      through[row * width + n] = d[n] * adapter->gain[n];
      if (dmagnitude) dmagnitude[n] += d[n] * plain[n] * adapter->inverse[n];
    }
  }
  return through;
}

/* What A's input gets: dlow . A, of what was not left out. */
static tx_status input_backward(const tx_block_run *run, tx_matrix_slot slot, int64_t rows,
                                const float *dlow, float *dx, tx_error *error) {
  const tx_matrix *matrix = &run->block->matrix[slot];
  const tx_adapter *adapter = matrix->adapter;
  bool dropped = drops(run, adapter), failed = false;
  float *to = dropped ? tx_take_rows(run->pass, rows, matrix->inputs, &failed) : dx;
  if (failed) return tx_fail_memory(error, (uint64_t)(rows * matrix->inputs) * 4, "dropout");
  tx_multiply_rows(run->pass, dlow, rows, adapter->rank, matrix->inputs, adapter->a_transposed,
                   !dropped, to);
  if (!dropped) return TX_OK;
  TX_TRY(drop(run, slot, rows, to, error));
  tx_add_rows(run->pass, rows, matrix->inputs, dx, to);
  return TX_OK;
}

tx_status tx_adapter_backward(const tx_block_run *run, const tx_tape *tape, tx_matrix_slot slot,
                              int64_t rows, const float *x, const float *dy, float *dx,
                              const tx_block_gradient *gradient, tx_error *error) {
  tx_pass *pass = run->pass;
  const tx_matrix *matrix = &run->block->matrix[slot];
  const tx_adapter *adapter = matrix->adapter;
  int64_t rank = adapter->rank;
  bool failed = false;
  tx_arena_mark mark = tx_arena_here(pass->arena);
  float *dlow = tx_take_rows(pass, rows, rank, &failed);
  const float *input = failed ? NULL : input_of(run, slot, rows, x, error);
  if (failed) return tx_fail_memory(error, 0, "an adapter's gradient");
  if (!input) return TX_ERROR_SYSTEM;
  tx_multiply_rows(pass, dy, rows, matrix->outputs, rank, adapter->b_transposed, false, dlow);
  TX_TRY(tx_multiply_transposed(pass, tape->low[slot], dy, rows, rank, matrix->outputs,
                                gradient->adapter_b[slot], error));
  scale_all(dlow, rows * rank, adapter->scale);
  TX_TRY(tx_multiply_transposed(pass, input, dlow, rows, matrix->inputs, rank,
                                gradient->adapter_a[slot], error));
  if (dx) TX_TRY(input_backward(run, slot, rows, dlow, dx, error));
  tx_arena_release(pass->arena, mark);
  return TX_OK;
}
