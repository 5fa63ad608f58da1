/* One transformer block over a ragged batch: norm, attention, residual; norm,
 * MLP, residual.  Forward, driven by the architecture's facts. */
#include <string.h>

#include "base/parallel.h"
#include "model/block_parts.h"
#include "model/bytes.h"

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
static void quantise(tx_pass *pass, const tx_matrix *matrix, tx_tape *tape, const tx_product_of *p,
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
                        const tx_product_of *p, together *t) {
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

/* At most MOST_PRODUCTS, none of which reads what another writes, at once: between
 * small products more time goes by waiting for the last task than in one. */
static tx_status apply(const tx_block_run *run_of, tx_tape *tape, const tx_product_of *products,
                       int count, tx_error *error) {
  together t = {.count = 0};
  const tx_block *block = run_of->block;
  for (int i = 0; i < count; i++) {
    add_product(run_of->pass, &block->matrix[products[i].slot], tape, &products[i], &t);
  }
  run(&t);
  for (int i = 0; i < count; i++) {
    if (!block->matrix[products[i].slot].adapter) continue;
    TX_TRY(tx_adapter_forward(run_of, &products[i], tape, error));
  }
  return TX_OK;
}

uint64_t tx_tape_bytes(const tx_facts *f, int64_t tokens, int64_t rows) {
  int64_t query = f->heads * f->head_size, key = f->kv_heads * f->head_size;
  int64_t of_token = 2 * key + 2;
  int64_t of_row = f->width + 2 * query + (f->architecture->gated ? 2 : 1) * f->hidden + 2;
  return (uint64_t)(tokens * of_token + rows * of_row) * sizeof(float);
}

int64_t tx_rows_of(tx_matrix_slot slot, int64_t tokens, int64_t rows) {
  return slot == TX_MATRIX_KEY || slot == TX_MATRIX_VALUE ? tokens : rows;
}

static tx_status lay_out_tape(tx_pass *pass, const tx_block *block, int64_t tokens, int64_t rows,
                              tx_tape *tape, tx_error *error) {
  const tx_facts *f = pass->facts;
  int64_t query = f->heads * f->head_size, key = f->kv_heads * f->head_size;
  bool failed = false;
  tape->query = tx_take_rows(pass, rows, query, &failed);
  tape->key = tx_take_rows(pass, tokens, key, &failed);
  tape->value = tx_take_rows(pass, tokens, key, &failed);
  tape->attended = tx_take_rows(pass, rows, query, &failed);
  tape->middle = tx_take_rows(pass, rows, f->width, &failed);
  tape->gate = f->architecture->gated ? tx_take_rows(pass, rows, f->hidden, &failed) : NULL;
  tape->up = tx_take_rows(pass, rows, f->hidden, &failed);
  tape->attention_mean = tx_take_rows(pass, tokens, 2, &failed);
  tape->attention_inverse = tape->attention_mean ? tape->attention_mean + tokens : NULL;
  tape->mlp_mean = tx_take_rows(pass, rows, 2, &failed);
  tape->mlp_inverse = tape->mlp_mean ? tape->mlp_mean + rows : NULL;
  for (int slot = 0; slot < TX_MATRICES; slot++) {
    const tx_adapter *adapter = block->matrix[slot].adapter;
    if (!adapter) continue;
    int64_t of_slot = tx_rows_of((tx_matrix_slot)slot, tokens, rows);
    tape->low[slot] = tx_take_rows(pass, of_slot, adapter->rank, &failed);
    if (!adapter->gain) continue;
    tape->plain[slot] = tx_take_rows(pass, of_slot, block->matrix[slot].outputs, &failed);
  }
  tape->slim = tx_arena_here(pass->arena);
  return failed ? tx_fail_memory(error, tx_tape_bytes(f, tokens, rows), "a block's activations")
                : TX_OK;
}

/* What the rest of the tape gives again for little. */
tx_status tx_tape_lay_out_rest(tx_pass *pass, int64_t tokens, const tx_wanted *wanted,
                               tx_tape *tape, tx_error *error) {
  const tx_facts *f = pass->facts;
  bool failed = false;
  tape->normed = tx_take_rows(pass, tokens, f->width, &failed);
  tape->wanted_normed =
      wanted->tokens ? tx_take_rows(pass, wanted->count, f->width, &failed) : tape->normed;
  tape->mlp_normed = tx_take_rows(pass, wanted->count, f->width, &failed);
  tape->active = tx_take_rows(pass, wanted->count, f->hidden, &failed);
  return failed ? tx_fail_memory(error, (uint64_t)(tokens * f->width) * 4, "a block's activations")
                : TX_OK;
}

void tx_tape_slim(tx_pass *pass, tx_tape *tape) {
  tape->normed = tape->wanted_normed = tape->mlp_normed = tape->active = NULL;
  tape->quantised = NULL, tape->quantised_from = NULL;
  tx_arena_release(pass->arena, tape->slim);
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

static tx_status attention_half(tx_pass *pass, const tx_block *block, const tx_batch *batch,
                                const tx_wanted *wanted, tx_tape *tape, tx_error *error) {
  const tx_facts *f = pass->facts;
  const tx_block_run of = {pass, block, batch, wanted};
  tx_wanted all = tx_wanted_all(batch);
  tx_norm_attention(pass, block, batch, wanted, tape);
  const tx_product_of inputs[] = {
      {TX_MATRIX_QUERY, wanted->count, tape->wanted_normed, tape->query},
      {TX_MATRIX_KEY, batch->tokens, tape->normed, tape->key},
      {TX_MATRIX_VALUE, batch->tokens, tape->normed, tape->value}};
  TX_TRY(apply(&of, tape, inputs, 3, error));
  TX_TRY(tx_rotary_apply(pass, batch, wanted, f->heads, tape->query, 1, error));
  TX_TRY(tx_rotary_apply(pass, batch, &all, f->kv_heads, tape->key, 1, error));
  TX_TRY(tx_attention_forward(pass, batch, wanted, tape->query, tape->key, tape->value,
                              tape->attended, error));
  const tx_product_of output = {TX_MATRIX_OUT, wanted->count, tape->attended, tape->middle};
  TX_TRY(apply(&of, tape, &output, 1, error));
  const float *residual = tape->x;
  if (wanted->tokens) { /* mlp_normed is free until the next norm */
    tx_gather_rows(wanted, f->width, tape->x, tape->mlp_normed);
    residual = tape->mlp_normed;
  }
  tx_add_rows(pass, wanted->count, f->width, tape->middle, residual);
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
  TX_TRY(tx_tape_lay_out_rest(pass, batch->tokens, wanted, tape, error));
  TX_TRY(lay_out_quantised(pass, block, batch->tokens, tape, error));
  tape->x = x;
  TX_TRY(attention_half(pass, block, batch, wanted, tape, error));
  const tx_block_run of = {pass, block, batch, wanted};
  tx_norm_mlp(pass, block, rows, tape);
  const tx_product_of inputs[] = {
      {TX_MATRIX_UP, rows, tape->mlp_normed, tape->up},
      {TX_MATRIX_GATE, rows, tape->mlp_normed, tape->gate}};
  TX_TRY(apply(&of, tape, inputs, f->architecture->gated ? 2 : 1, error));
  tx_activate(pass, rows, tape);
  const tx_product_of output = {TX_MATRIX_DOWN, rows, tape->active, y};
  TX_TRY(apply(&of, tape, &output, 1, error));
  tx_add_rows(pass, rows, f->width, y, tape->middle);
  return TX_OK;
}
