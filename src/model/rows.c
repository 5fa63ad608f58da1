/* The work of a block that has a row at a time: norms, activations, sums; and its products. */
#include <string.h>

#include "base/parallel.h"
#include "model/block_parts.h"

enum { ROWS = 16 }; /* of a task of row-wise work */

typedef struct {
  const tx_kernels *kernels;
  const tx_facts *facts;
  const tx_norm *norm;
  int64_t rows, width;
  const float *x, *other, *dout;
  float *y, *second, *mean, *inverse;
} rowwise;

static int64_t rows_end(const rowwise *w, int64_t index) {
  return (index + 1) * ROWS < w->rows ? (index + 1) * ROWS : w->rows;
}

static void run_rows(rowwise *work, tx_task *task) {
  tx_parallel((work->rows + ROWS - 1) / ROWS, task, work);
}

static void norm_task(void *context, int64_t index, int worker) {
  (void)worker;
  const rowwise *w = context;
  for (int64_t row = index * ROWS; row < rows_end(w, index); row++) {
    const float *x = w->x + row * w->width;
    float *y = w->y + row * w->width, mean = 0, inverse;
    if (w->facts->architecture->norm == TX_NORM_RMS) {
      inverse = w->kernels->rms_norm(x, w->norm->weight, w->width, w->facts->norm_epsilon, y);
    } else {
      inverse = w->kernels->layer_norm(x, w->norm->weight, w->norm->bias, w->width,
                                       w->facts->norm_epsilon, &mean, y);
    }
    if (w->mean) w->mean[row] = mean;
    if (w->inverse) w->inverse[row] = inverse;
  }
}

void tx_norm_forward(tx_pass *pass, const tx_norm *norm, int64_t rows, const float *x, float *y,
                     float *mean, float *inverse) {
  rowwise w = {.kernels = pass->kernels,
               .facts = pass->facts,
               .norm = norm,
               .rows = rows,
               .width = pass->facts->width,
               .x = x,
               .y = y,
               .mean = mean,
               .inverse = inverse};
  run_rows(&w, norm_task);
}

/* Rows one after another: the weight's gradient is summed over them in order. */
void tx_norm_backward(tx_pass *pass, const tx_norm *norm, int64_t rows, const float *x,
                      const float *dy, const float *mean, const float *inverse, float *dx,
                      float *dweight, float *dbias) {
  int64_t width = pass->facts->width;
  bool centred = pass->facts->architecture->norm == TX_NORM_LAYER;
  for (int64_t row = 0; row < rows; row++) {
    pass->kernels->norm_backward(x + row * width, norm->weight, dy + row * width, width, mean[row],
                                 inverse[row], centred, dx ? dx + row * width : NULL, dweight,
                                 dbias);
  }
}

static void add_task(void *context, int64_t index, int worker) {
  (void)worker;
  const rowwise *w = context;
  for (int64_t row = index * ROWS; row < rows_end(w, index); row++) {
    w->kernels->add(w->y + row * w->width, w->x + row * w->width, w->width);
  }
}

void tx_add_rows(tx_pass *pass, int64_t rows, int64_t width, float *y, const float *x) {
  rowwise w = {.kernels = pass->kernels, .rows = rows, .width = width, .x = x, .y = y};
  run_rows(&w, add_task);
}

static void activate_task(void *context, int64_t index, int worker) {
  (void)worker;
  const rowwise *w = context;
  int64_t from = index * ROWS * w->width, count = (rows_end(w, index) - index * ROWS) * w->width;
  if (w->facts->architecture->gated) { /* the only gated activation so far is SiLU */
    w->kernels->silu_gate(w->x + from, w->other + from, count, w->y + from);
  } else {
    w->kernels->gelu(w->other + from, count, w->y + from);
  }
}

static void activate_backward_task(void *context, int64_t index, int worker) {
  (void)worker;
  const rowwise *w = context;
  int64_t from = index * ROWS * w->width, count = (rows_end(w, index) - index * ROWS) * w->width;
  if (w->facts->architecture->gated) {
    w->kernels->silu_gate_backward(w->x + from, w->other + from, w->dout + from, count, w->y + from,
                                   w->second + from);
  } else {
    w->kernels->gelu_backward(w->other + from, w->dout + from, count, w->second + from);
  }
}

/* ---- the parts of a tape ----------------------------------------------- */

void tx_gather_rows(const tx_wanted *wanted, int64_t width, const float *from, float *to) {
  for (int64_t row = 0; row < wanted->count; row++) {
    memcpy(to + row * width, from + tx_wanted_token(wanted, row) * width,
           (size_t)width * sizeof *to);
  }
}

void tx_norm_attention(tx_pass *pass, const tx_block *block, const tx_batch *batch,
                       const tx_wanted *wanted, tx_tape *tape) {
  tx_norm_forward(pass, &block->norm[TX_NORM_ATTENTION], batch->tokens, tape->x, tape->normed,
                  tape->attention_mean, tape->attention_inverse);
  if (wanted->tokens) tx_gather_rows(wanted, pass->facts->width, tape->normed, tape->wanted_normed);
}

void tx_norm_mlp(tx_pass *pass, const tx_block *block, int64_t rows, tx_tape *tape) {
  tx_norm_forward(pass, &block->norm[TX_NORM_MLP], rows, tape->middle, tape->mlp_normed,
                  tape->mlp_mean, tape->mlp_inverse);
}

void tx_activate(tx_pass *pass, int64_t rows, tx_tape *tape) {
  rowwise w = {.kernels = pass->kernels,
               .facts = pass->facts,
               .rows = rows,
               .width = pass->facts->hidden,
               .x = tape->gate,
               .other = tape->up,
               .y = tape->active};
  run_rows(&w, activate_task);
}

void tx_activate_backward(tx_pass *pass, int64_t rows, const tx_tape *tape, float *dactive,
                          float *dgate) {
  rowwise w = {.kernels = pass->kernels,
               .facts = pass->facts,
               .rows = rows,
               .width = pass->facts->hidden,
               .x = tape->gate,
               .other = tape->up,
               .dout = dactive,
               .y = dgate,
               .second = dactive};
  run_rows(&w, activate_backward_task);
}

/* ---- products ---------------------------------------------------------- */

float *tx_take_rows(tx_pass *pass, int64_t rows, int64_t width, bool *failed) {
  float *floats = tx_arena_array(pass->arena, (size_t)(rows * width), sizeof(float));
  if (!floats) *failed = true;
  return floats;
}

void tx_multiply_rows(tx_pass *pass, const float *x, int64_t rows, int64_t depth, int64_t columns,
                      const float *panels, bool accumulate, float *y) {
  tx_product product = {.kernels = pass->kernels,
                        .rows = rows,
                        .depth = depth,
                        .columns = columns,
                        .x = x,
                        .x_row = depth,
                        .x_step = 1,
                        .panels = panels,
                        .accumulate = accumulate,
                        .y = y,
                        .y_row = columns};
  tx_product_run(&product);
}

tx_status tx_multiply_transposed(tx_pass *pass, const float *x, const float *dy, int64_t rows,
                                 int64_t depth, int64_t columns, float *dweight, tx_error *error) {
  if (rows == 0) return TX_OK;
  uint64_t floats = tx_packed_size(rows, depth);
  float *panels = tx_arena_array(pass->arena, floats, sizeof(float));
  if (!panels) return tx_fail_memory(error, floats * sizeof(float), "a weight's gradient");
  tx_pack(x, depth, 1, rows, depth, panels);
  tx_product product = {.kernels = pass->kernels,
                        .rows = columns,
                        .depth = rows,
                        .columns = depth,
                        .x = dy,
                        .x_row = 1,
                        .x_step = columns,
                        .panels = panels,
                        .accumulate = true,
                        .y = dweight,
                        .y_row = depth};
  tx_product_run(&product);
  return TX_OK;
}
