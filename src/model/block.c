/* One transformer block over a ragged batch: norm, attention, residual; norm,
 * MLP, residual.  Forward and backward, driven by the architecture's facts. */
#include <string.h>

#include "base/parallel.h"
#include "kernels/product.h"
#include "model/bytes.h"
#include "model/pass.h"

enum { ROWS = 16 }; /* of a task of row-wise work */

tx_status tx_pass_open(const tx_facts *facts, tx_pass *pass, tx_error *error) {
  *pass = (tx_pass){.kernels = tx_kernels_get(),
                    .int8 = tx_int8_get(),
                    .grouped = tx_grouped_get(),
                    .facts = facts,
                    .arena = tx_arena_new()};
  return pass->arena ? TX_OK : tx_fail_memory(error, 64, "a pass");
}

void tx_pass_close(tx_pass *pass) {
  tx_arena_free(pass->arena);
  tx_free(pass->rotary.cosines);
  tx_free(pass->rotary.sines);
  *pass = (tx_pass){0};
}

/* ---- row-wise work ----------------------------------------------------- */

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

static void add_rows(tx_pass *pass, int64_t rows, int64_t width, float *y, const float *x) {
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

/* ---- forward ----------------------------------------------------------- */

/* y (rows, outputs) = x (rows, inputs) . W^T + bias, and what an adapter adds. */
typedef struct {
  tx_matrix_slot slot;
  int64_t rows;
  const float *x;
  float *y;
} product_of;

/* Products that wait to be run together. */
enum { MOST_PRODUCTS = 3 };
typedef struct {
  union {
    tx_product floats;
    tx_bytes_product bytes;
    tx_grouped_product groups;
  } products[MOST_PRODUCTS];
  tx_loop loops[MOST_PRODUCTS];
  int count;
} together;

static void run(together *t) {
  if (t->count > 0) tx_parallel_all(t->loops, t->count);
  t->count = 0;
}

/* Leaves the quantised rows of p->x on the tape.  What waits may read those before. */
static void quantise(tx_pass *pass, const tx_matrix *matrix, tx_tape *tape, const product_of *p,
                     together *t) {
  bool groups = matrix->groups != NULL;
  int64_t depth = matrix->inputs;
  if (tape->quantised_from == p->x && tape->quantised_groups == groups) return;
  run(t);
  if (groups) {
    tx_grouped_quantise(pass->grouped, p->x, depth, p->rows, depth,
                        (tx_group *)(void *)tape->quantised);
  } else {
    tx_bytes_quantise(pass->int8, p->x, depth, p->rows, tape->quantised);
  }
  tape->quantised_from = p->x, tape->quantised_groups = groups;
}

static void add_product(tx_pass *pass, const tx_matrix *matrix, tx_tape *tape,
                        const product_of *p, together *t) {
  if (matrix->bytes || matrix->groups) quantise(pass, matrix, tape, p, t);
  int at = t->count++;
  if (matrix->bytes) {
    t->products[at].bytes =
        (tx_bytes_product){pass->int8, matrix, p->rows, tape->quantised, p->y};
    t->loops[at] = tx_bytes_product_loop(&t->products[at].bytes);
  } else if (matrix->groups) {
    t->products[at].groups =
        (tx_grouped_product){.kernels = pass->grouped,
                             .type = matrix->type,
                             .rows = p->rows,
                             .depth = matrix->inputs,
                             .columns = matrix->outputs,
                             .x = (const tx_group *)(const void *)tape->quantised,
                             .panels = matrix->groups,
                             .bias = matrix->bias,
                             .y = p->y,
                             .y_row = matrix->outputs};
    t->loops[at] = tx_grouped_product_loop(&t->products[at].groups);
  } else {
    t->products[at].floats = (tx_product){.kernels = pass->kernels,
                                          .rows = p->rows,
                                          .depth = matrix->inputs,
                                          .columns = matrix->outputs,
                                          .x = p->x,
                                          .x_row = matrix->inputs,
                                          .x_step = 1,
                                          .panels = matrix->panels,
                                          .bias = matrix->bias,
                                          .y = p->y,
                                          .y_row = matrix->outputs};
    t->loops[at] = tx_product_loop(&t->products[at].floats);
  }
}

static float *take(tx_pass *pass, int64_t rows, int64_t width, bool *failed) {
  float *floats = tx_arena_array(pass->arena, (size_t)(rows * width), sizeof(float));
  if (!floats) *failed = true;
  return floats;
}

static void multiply(tx_pass *pass, const float *x, int64_t rows, int64_t depth, int64_t columns,
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

static void scale_all(float *values, int64_t count, float scale) {
  for (int64_t i = 0; i < count; i++) values[i] *= scale;
}

static void add_adapter(tx_pass *pass, const tx_matrix *matrix, tx_tape *tape,
                        const product_of *p) {
  const tx_adapter *adapter = matrix->adapter;
  int64_t rank = adapter->rank;
  float *low = tape->low[p->slot];
  multiply(pass, p->x, p->rows, matrix->inputs, rank, adapter->a, false, low);
  scale_all(low, p->rows * rank, adapter->scale);
  multiply(pass, low, p->rows, rank, matrix->outputs, adapter->b, true, p->y);
}

/* At most MOST_PRODUCTS, none of which reads what another writes, at once: between
 * small products more time goes by waiting for the last task than in one. */
static void apply(tx_pass *pass, const tx_block *block, tx_tape *tape, const product_of *products,
                  int count) {
  together t = {.count = 0};
  for (int i = 0; i < count; i++) {
    add_product(pass, &block->matrix[products[i].slot], tape, &products[i], &t);
  }
  run(&t);
  for (int i = 0; i < count; i++) {
    const tx_matrix *matrix = &block->matrix[products[i].slot];
    if (matrix->adapter) add_adapter(pass, matrix, tape, &products[i]);
  }
}

uint64_t tx_tape_bytes(const tx_facts *f, int64_t tokens, int64_t rows) {
  int64_t query = f->heads * f->head_size, key = f->kv_heads * f->head_size;
  int64_t of_token = 2 * key + 2;
  int64_t of_row = f->width + 2 * query + (f->architecture->gated ? 2 : 1) * f->hidden + 2;
  return (uint64_t)(tokens * of_token + rows * of_row) * sizeof(float);
}

/* Of an adapter's input: that of its product. */
static int64_t rows_of(tx_matrix_slot slot, int64_t tokens, int64_t rows) {
  return slot == TX_MATRIX_KEY || slot == TX_MATRIX_VALUE ? tokens : rows;
}

static tx_status lay_out_tape(tx_pass *pass, const tx_block *block, int64_t tokens, int64_t rows,
                              tx_tape *tape, tx_error *error) {
  const tx_facts *f = pass->facts;
  int64_t query = f->heads * f->head_size, key = f->kv_heads * f->head_size;
  bool failed = false;
  tape->query = take(pass, rows, query, &failed);
  tape->key = take(pass, tokens, key, &failed);
  tape->value = take(pass, tokens, key, &failed);
  tape->attended = take(pass, rows, query, &failed);
  tape->middle = take(pass, rows, f->width, &failed);
  tape->gate = f->architecture->gated ? take(pass, rows, f->hidden, &failed) : NULL;
  tape->up = take(pass, rows, f->hidden, &failed);
  tape->attention_mean = take(pass, tokens, 2, &failed);
  tape->attention_inverse = tape->attention_mean ? tape->attention_mean + tokens : NULL;
  tape->mlp_mean = take(pass, rows, 2, &failed);
  tape->mlp_inverse = tape->mlp_mean ? tape->mlp_mean + rows : NULL;
  for (int slot = 0; slot < TX_MATRICES; slot++) {
    const tx_adapter *adapter = block->matrix[slot].adapter;
    if (!adapter) continue;
    int64_t of_slot = rows_of((tx_matrix_slot)slot, tokens, rows);
    tape->low[slot] = take(pass, of_slot, adapter->rank, &failed);
  }
  tape->slim = tx_arena_here(pass->arena);
  return failed ? tx_fail_memory(error, tx_tape_bytes(f, tokens, rows), "a block's activations")
                : TX_OK;
}

/* What the rest of the tape gives again for little. */
static tx_status lay_out_rest(tx_pass *pass, int64_t tokens, const tx_wanted *wanted, tx_tape *tape,
                              tx_error *error) {
  const tx_facts *f = pass->facts;
  bool failed = false;
  tape->normed = take(pass, tokens, f->width, &failed);
  tape->wanted_normed =
      wanted->tokens ? take(pass, wanted->count, f->width, &failed) : tape->normed;
  tape->mlp_normed = take(pass, wanted->count, f->width, &failed);
  tape->active = take(pass, wanted->count, f->hidden, &failed);
  return failed ? tx_fail_memory(error, (uint64_t)(tokens * f->width) * 4, "a block's activations")
                : TX_OK;
}

void tx_tape_slim(tx_pass *pass, tx_tape *tape) {
  tape->normed = tape->wanted_normed = tape->mlp_normed = tape->active = NULL;
  tape->quantised = NULL, tape->quantised_from = NULL;
  tx_arena_release(pass->arena, tape->slim);
}

static void gather(const tx_wanted *wanted, int64_t width, const float *from, float *to) {
  for (int64_t row = 0; row < wanted->count; row++) {
    memcpy(to + row * width, from + tx_wanted_token(wanted, row) * width,
           (size_t)width * sizeof *to);
  }
}

/* Of a row of the matrix's input, quantised as it wants it; 0: it is not. */
static uint64_t quantised_bytes(const tx_matrix *matrix) {
  if (matrix->bytes) return tx_bytes_row(matrix->inputs);
  return matrix->groups ? (uint64_t)(matrix->inputs / TX_GROUP) * sizeof(tx_group) : 0;
}

/* Room for the largest of them. */
static tx_status lay_out_quantised(tx_pass *pass, const tx_block *block, int64_t tokens,
                                   tx_tape *tape, tx_error *error) {
  uint64_t longest = 0;
  for (int slot = 0; slot < TX_MATRICES; slot++) {
    uint64_t bytes = quantised_bytes(&block->matrix[slot]);
    longest = bytes > longest ? bytes : longest;
  }
  tape->quantised = NULL, tape->quantised_from = NULL, tape->quantised_groups = false;
  if (!longest) return TX_OK;
  tape->quantised = tx_arena_array(pass->arena, (size_t)tokens, (size_t)longest);
  return tape->quantised
             ? TX_OK
             : tx_fail_memory(error, (uint64_t)tokens * longest, "a block's activations");
}

static void norm_attention(tx_pass *pass, const tx_block *block, const tx_batch *batch,
                           const tx_wanted *wanted, tx_tape *tape) {
  tx_norm_forward(pass, &block->norm[TX_NORM_ATTENTION], batch->tokens, tape->x, tape->normed,
                  tape->attention_mean, tape->attention_inverse);
  if (wanted->tokens) gather(wanted, pass->facts->width, tape->normed, tape->wanted_normed);
}

static void norm_mlp(tx_pass *pass, const tx_block *block, int64_t rows, tx_tape *tape) {
  tx_norm_forward(pass, &block->norm[TX_NORM_MLP], rows, tape->middle, tape->mlp_normed,
                  tape->mlp_mean, tape->mlp_inverse);
}

static void activate(tx_pass *pass, int64_t rows, tx_tape *tape) {
  rowwise w = {.kernels = pass->kernels,
               .facts = pass->facts,
               .rows = rows,
               .width = pass->facts->hidden,
               .x = tape->gate,
               .other = tape->up,
               .y = tape->active};
  run_rows(&w, activate_task);
}

static tx_status attention_half(tx_pass *pass, const tx_block *block, const tx_batch *batch,
                                const tx_wanted *wanted, tx_tape *tape, tx_error *error) {
  const tx_facts *f = pass->facts;
  tx_wanted all = tx_wanted_all(batch);
  norm_attention(pass, block, batch, wanted, tape);
  const product_of inputs[] = {
      {TX_MATRIX_QUERY, wanted->count, tape->wanted_normed, tape->query},
      {TX_MATRIX_KEY, batch->tokens, tape->normed, tape->key},
      {TX_MATRIX_VALUE, batch->tokens, tape->normed, tape->value}};
  apply(pass, block, tape, inputs, 3);
  TX_TRY(tx_rotary_apply(pass, batch, wanted, f->heads, tape->query, 1, error));
  TX_TRY(tx_rotary_apply(pass, batch, &all, f->kv_heads, tape->key, 1, error));
  TX_TRY(tx_attention_forward(pass, batch, wanted, tape->query, tape->key, tape->value,
                              tape->attended, error));
  const product_of output = {TX_MATRIX_OUT, wanted->count, tape->attended, tape->middle};
  apply(pass, block, tape, &output, 1);
  const float *residual = tape->x;
  if (wanted->tokens) { /* mlp_normed is free until the next norm */
    gather(wanted, f->width, tape->x, tape->mlp_normed);
    residual = tape->mlp_normed;
  }
  add_rows(pass, wanted->count, f->width, tape->middle, residual);
  return TX_OK;
}

tx_status tx_block_forward(tx_pass *pass, const tx_block *block, const tx_batch *batch,
                           const tx_wanted *wanted, const float *x, float *y, tx_tape *tape,
                           tx_error *error) {
  const tx_facts *f = pass->facts;
  int64_t rows = wanted->count;
  tx_batch seen = *batch;
  seen.two_way = block->two_way;
  batch = &seen;
  TX_TRY(lay_out_tape(pass, block, batch->tokens, rows, tape, error));
  TX_TRY(lay_out_rest(pass, batch->tokens, wanted, tape, error));
  TX_TRY(lay_out_quantised(pass, block, batch->tokens, tape, error));
  tape->x = x;
  TX_TRY(attention_half(pass, block, batch, wanted, tape, error));
  norm_mlp(pass, block, rows, tape);
  const product_of inputs[] = {
      {TX_MATRIX_UP, rows, tape->mlp_normed, tape->up},
      {TX_MATRIX_GATE, rows, tape->mlp_normed, tape->gate}};
  apply(pass, block, tape, inputs, f->architecture->gated ? 2 : 1);
  activate(pass, rows, tape);
  const product_of output = {TX_MATRIX_DOWN, rows, tape->active, y};
  apply(pass, block, tape, &output, 1);
  add_rows(pass, rows, f->width, y, tape->middle);
  return TX_OK;
}

/* ---- backward ---------------------------------------------------------- */

/* One matrix: its own gradient, and dx (rows, inputs) =/+= dy . W where dx is given. */
static tx_status apply_backward(tx_pass *pass, const tx_matrix *matrix, const float *transposed,
                                int64_t rows, const float *x, const float *dy, float *dx,
                                bool accumulate, float *dweight, float *dbias, tx_error *error) {
  if (dx) multiply(pass, dy, rows, matrix->outputs, matrix->inputs, transposed, accumulate, dx);
  if (dbias) {
    for (int64_t row = 0; row < rows; row++) {
      pass->kernels->add(dbias, dy + row * matrix->outputs, matrix->outputs);
    }
  }
  if (!dweight || rows == 0) return TX_OK;
  uint64_t floats = tx_packed_size(rows, matrix->inputs);
  float *panels = tx_arena_array(pass->arena, floats, sizeof(float));
  if (!panels) return tx_fail_memory(error, floats * sizeof(float), "a weight's gradient");
  tx_pack(x, matrix->inputs, 1, rows, matrix->inputs, panels);
  tx_product product = {.kernels = pass->kernels,
                        .rows = matrix->outputs,
                        .depth = rows,
                        .columns = matrix->inputs,
                        .x = dy,
                        .x_row = 1,
                        .x_step = matrix->outputs,
                        .panels = panels,
                        .accumulate = true,
                        .y = dweight,
                        .y_row = matrix->inputs};
  tx_product_run(&product);
  return TX_OK;
}

typedef struct {
  tx_pass *pass;
  const tx_block *block;
  const float *const *transposed;
  const tx_batch *batch;
  const tx_wanted *wanted;
  const tx_tape *tape;
  const tx_block_gradient *gradient;
  tx_error *error;
} backward;

/* Of an adapter's two matrices, as if each were one of its own. */
static tx_status adapter_backward(const backward *b, tx_matrix_slot slot, int64_t rows,
                                  const float *x, const float *dy, float *dx) {
  const tx_matrix *matrix = &b->block->matrix[slot];
  const tx_adapter *adapter = matrix->adapter;
  const tx_matrix down = {.outputs = adapter->rank, .inputs = matrix->inputs};
  const tx_matrix up = {.outputs = matrix->outputs, .inputs = adapter->rank};
  bool failed = false;
  float *dlow = take(b->pass, rows, adapter->rank, &failed);
  if (failed) return tx_fail_memory(b->error, 0, "an adapter's gradient");
  TX_TRY(apply_backward(b->pass, &up, adapter->b_transposed, rows, b->tape->low[slot], dy, dlow,
                        false, b->gradient->adapter_b[slot], NULL, b->error));
  scale_all(dlow, rows * adapter->rank, adapter->scale);
  return apply_backward(b->pass, &down, adapter->a_transposed, rows, x, dlow, dx, true,
                        b->gradient->adapter_a[slot], NULL, b->error);
}

static tx_status matrix_backward(const backward *b, tx_matrix_slot slot, int64_t rows,
                                 const float *x, const float *dy, float *dx, bool accumulate) {
  TX_TRY(apply_backward(b->pass, &b->block->matrix[slot], b->transposed[slot], rows, x, dy, dx,
                        accumulate, b->gradient->matrix[slot], b->gradient->bias[slot], b->error));
  if (!b->block->matrix[slot].adapter) return TX_OK;
  return adapter_backward(b, slot, rows, x, dy, dx);
}

/* dy (R, C) at the block's output becomes the gradient at `middle`. */
static tx_status mlp_backward(const backward *b, float *dy) {
  tx_pass *pass = b->pass;
  const tx_facts *f = pass->facts;
  const tx_tape *tape = b->tape;
  int64_t rows = b->wanted->count;
  bool failed = false, gated = f->architecture->gated;
  float *dactive = take(pass, rows, f->hidden, &failed);
  float *dgate = gated ? take(pass, rows, f->hidden, &failed) : NULL;
  float *dnormed = take(pass, rows, f->width, &failed);
  if (failed) return tx_fail_memory(b->error, 0, "the MLP's gradient");
  TX_TRY(matrix_backward(b, TX_MATRIX_DOWN, rows, tape->active, dy, dactive, false));
  rowwise w = {.kernels = pass->kernels,
               .facts = f,
               .rows = rows,
               .width = f->hidden,
               .x = tape->gate,
               .other = tape->up,
               .dout = dactive,
               .y = dgate,
               .second = dactive};
  run_rows(&w, activate_backward_task); /* dactive is now the gradient at `up` */
  TX_TRY(matrix_backward(b, TX_MATRIX_UP, rows, tape->mlp_normed, dactive, dnormed, false));
  if (gated) {
    TX_TRY(matrix_backward(b, TX_MATRIX_GATE, rows, tape->mlp_normed, dgate, dnormed, true));
  }
  tx_norm_backward(pass, &b->block->norm[TX_NORM_MLP], rows, tape->middle, dnormed, tape->mlp_mean,
                   tape->mlp_inverse, dy, b->gradient->norm_weight[TX_NORM_MLP],
                   b->gradient->norm_bias[TX_NORM_MLP]);
  return TX_OK;
}

/* dmiddle (R, C) becomes dx (T, C). */
static tx_status attention_half_backward(const backward *b, const float *dmiddle, float *dx) {
  tx_pass *pass = b->pass;
  const tx_facts *f = pass->facts;
  const tx_tape *tape = b->tape;
  int64_t rows = b->wanted->count, tokens = b->batch->tokens;
  int64_t query = f->heads * f->head_size, key = f->kv_heads * f->head_size;
  bool failed = false;
  float *dattended = take(pass, rows, query, &failed), *dquery = take(pass, rows, query, &failed);
  float *dkey = take(pass, tokens, key, &failed), *dvalue = take(pass, tokens, key, &failed);
  float *dwanted = take(pass, rows, f->width, &failed),
        *dnormed = take(pass, tokens, f->width, &failed);
  if (failed) return tx_fail_memory(b->error, 0, "the attention's gradient");
  tx_wanted all = tx_wanted_all(b->batch);
  TX_TRY(matrix_backward(b, TX_MATRIX_OUT, rows, tape->attended, dmiddle, dattended, false));
  TX_TRY(tx_attention_backward(pass, b->batch, b->wanted, tape->query, tape->key, tape->value,
                               tape->attended, dattended, dquery, dkey, dvalue, b->error));
  TX_TRY(tx_rotary_apply(pass, b->batch, b->wanted, f->heads, dquery, -1, b->error));
  TX_TRY(tx_rotary_apply(pass, b->batch, &all, f->kv_heads, dkey, -1, b->error));
  TX_TRY(matrix_backward(b, TX_MATRIX_KEY, tokens, tape->normed, dkey, dnormed, false));
  TX_TRY(matrix_backward(b, TX_MATRIX_VALUE, tokens, tape->normed, dvalue, dnormed, true));
  TX_TRY(matrix_backward(b, TX_MATRIX_QUERY, rows, tape->wanted_normed, dquery, dwanted, false));
  if (dx) memset(dx, 0, (size_t)(tokens * f->width) * sizeof *dx);
  for (int64_t row = 0; row < rows; row++) {
    int64_t token = tx_wanted_token(b->wanted, row);
    pass->kernels->add(dnormed + token * f->width, dwanted + row * f->width, f->width);
    if (dx) pass->kernels->add(dx + token * f->width, dmiddle + row * f->width, f->width);
  }
  tx_norm_backward(pass, &b->block->norm[TX_NORM_ATTENTION], tokens, tape->x, dnormed,
                   tape->attention_mean, tape->attention_inverse, dx,
                   b->gradient->norm_weight[TX_NORM_ATTENTION],
                   b->gradient->norm_bias[TX_NORM_ATTENTION]);
  return TX_OK;
}

/* A slim tape's other half, as it was. */
static tx_status make_whole(tx_pass *pass, const tx_block *block, const tx_batch *batch,
                            const tx_wanted *wanted, tx_tape *tape, tx_error *error) {
  TX_TRY(lay_out_rest(pass, batch->tokens, wanted, tape, error));
  norm_attention(pass, block, batch, wanted, tape);
  norm_mlp(pass, block, wanted->count, tape);
  activate(pass, wanted->count, tape);
  return TX_OK;
}

tx_status tx_block_backward(tx_pass *pass, const tx_block *block,
                            const float *const transposed[TX_MATRICES], const tx_batch *batch,
                            const tx_wanted *wanted, const tx_tape *tape, float *dy, float *dx,
                            const tx_block_gradient *gradient, tx_error *error) {
  tx_tape whole = *tape;
  tx_batch seen = *batch;
  seen.two_way = block->two_way;
  batch = &seen;
  if (!whole.normed) TX_TRY(make_whole(pass, block, batch, wanted, &whole, error));
  backward b = {pass, block, transposed, batch, wanted, &whole, gradient, error};
  TX_TRY(mlp_backward(&b, dy));
  return attention_half_backward(&b, dy, dx);
}
