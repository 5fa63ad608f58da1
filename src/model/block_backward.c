/* The gradient of a block, from its tape. */
#include <string.h>

#include "model/block_parts.h"

typedef struct {
  tx_block_run of;
  const float *const *transposed;
  const tx_tape *tape;
  const tx_block_gradient *gradient;
  tx_error *error;
} backward;

/* One matrix and its adapter: their own gradients, and dx (rows, inputs) =/+= dy . W where dx
 * is given. */
static tx_status matrix_backward(const backward *b, tx_matrix_slot slot, int64_t rows,
                                 const float *x, const float *dy, float *dx, bool accumulate) {
  tx_pass *pass = b->of.pass;
  const tx_matrix *m = &b->of.block->matrix[slot];
  const tx_block_gradient *g = b->gradient;
  for (int64_t row = 0; g->bias[slot] && row < rows; row++) {
    pass->kernels->add(g->bias[slot], dy + row * m->outputs, m->outputs);
  }
  if (m->adapter && m->adapter->gain) {
    dy = tx_gain_backward(&b->of, b->tape, slot, rows, dy, g);
    if (!dy) return tx_fail_memory(b->error, (uint64_t)(rows * m->outputs) * 4, "a gradient");
  }
  if (dx) {
    tx_multiply_rows(pass, dy, rows, m->outputs, m->inputs, b->transposed[slot], accumulate, dx);
  }
  if (g->matrix[slot]) {
    TX_TRY(tx_multiply_transposed(pass, x, dy, rows, m->inputs, m->outputs, g->matrix[slot],
                                  b->error));
  }
  if (!m->adapter) return TX_OK;
  return tx_adapter_backward(&b->of, b->tape, slot, rows, x, dy, dx, g, b->error);
}

/* dy (R, C) at the block's output becomes the gradient at `middle`. */
static tx_status mlp_backward(const backward *b, float *dy) {
  tx_pass *pass = b->of.pass;
  const tx_facts *f = pass->facts;
  const tx_tape *tape = b->tape;
  int64_t rows = b->of.wanted->count;
  bool failed = false, gated = f->architecture->gated;
  float *dactive = tx_take_rows(pass, rows, f->hidden, &failed);
  float *dgate = gated ? tx_take_rows(pass, rows, f->hidden, &failed) : NULL;
  float *dnormed = tx_take_rows(pass, rows, f->width, &failed);
  if (failed) return tx_fail_memory(b->error, 0, "the MLP's gradient");
  TX_TRY(matrix_backward(b, TX_MATRIX_DOWN, rows, tape->active, dy, dactive, false));
  tx_activate_backward(pass, rows, tape, dactive, dgate); /* dactive: the gradient at `up` */
  TX_TRY(matrix_backward(b, TX_MATRIX_UP, rows, tape->mlp_normed, dactive, dnormed, false));
  if (gated) {
    TX_TRY(matrix_backward(b, TX_MATRIX_GATE, rows, tape->mlp_normed, dgate, dnormed, true));
  }
  tx_norm_backward(pass, &b->of.block->norm[TX_NORM_MLP], rows, tape->middle, dnormed,
                   tape->mlp_mean, tape->mlp_inverse, dy, b->gradient->norm_weight[TX_NORM_MLP],
                   b->gradient->norm_bias[TX_NORM_MLP]);
  return TX_OK;
}

/* dmiddle (R, C) becomes dx (T, C). */
static tx_status attention_half_backward(const backward *b, const float *dmiddle, float *dx) {
  tx_pass *pass = b->of.pass;
  const tx_facts *f = pass->facts;
  const tx_tape *tape = b->tape;
  int64_t rows = b->of.wanted->count, tokens = b->of.batch->tokens;
  int64_t query = f->heads * f->head_size, key = f->kv_heads * f->head_size;
  bool failed = false;
  float *dattended = tx_take_rows(pass, rows, query, &failed);
  float *dquery = tx_take_rows(pass, rows, query, &failed);
  float *dkey = tx_take_rows(pass, tokens, key, &failed);
  float *dvalue = tx_take_rows(pass, tokens, key, &failed);
  float *dwanted = tx_take_rows(pass, rows, f->width, &failed),
        *dnormed = tx_take_rows(pass, tokens, f->width, &failed);
  if (failed) return tx_fail_memory(b->error, 0, "the attention's gradient");
  tx_wanted all = tx_wanted_all(b->of.batch);
  TX_TRY(matrix_backward(b, TX_MATRIX_OUT, rows, tape->attended, dmiddle, dattended, false));
  TX_TRY(tx_attention_backward(pass, b->of.batch, b->of.wanted, tape->query, tape->key, tape->value,
                               tape->attended, dattended, dquery, dkey, dvalue, b->error));
  TX_TRY(tx_rotary_apply(pass, b->of.batch, b->of.wanted, f->heads, dquery, -1, b->error));
  TX_TRY(tx_rotary_apply(pass, b->of.batch, &all, f->kv_heads, dkey, -1, b->error));
  TX_TRY(matrix_backward(b, TX_MATRIX_KEY, tokens, tape->normed, dkey, dnormed, false));
  TX_TRY(matrix_backward(b, TX_MATRIX_VALUE, tokens, tape->normed, dvalue, dnormed, true));
  TX_TRY(matrix_backward(b, TX_MATRIX_QUERY, rows, tape->wanted_normed, dquery, dwanted, false));
  if (dx) memset(dx, 0, (size_t)(tokens * f->width) * sizeof *dx);
  for (int64_t row = 0; row < rows; row++) {
    int64_t token = tx_wanted_token(b->of.wanted, row);
    pass->kernels->add(dnormed + token * f->width, dwanted + row * f->width, f->width);
    if (dx) pass->kernels->add(dx + token * f->width, dmiddle + row * f->width, f->width);
  }
  tx_norm_backward(pass, &b->of.block->norm[TX_NORM_ATTENTION], tokens, tape->x, dnormed,
                   tape->attention_mean, tape->attention_inverse, dx,
                   b->gradient->norm_weight[TX_NORM_ATTENTION],
                   b->gradient->norm_bias[TX_NORM_ATTENTION]);
  return TX_OK;
}

/* A slim tape's other half, as it was. */
static tx_status make_whole(tx_pass *pass, const tx_block *block, const tx_batch *batch,
                            const tx_wanted *wanted, tx_tape *tape, tx_error *error) {
  TX_TRY(tx_tape_lay_out_rest(pass, batch->tokens, wanted, tape, error));
  tx_norm_attention(pass, block, batch, wanted, tape);
  tx_norm_mlp(pass, block, wanted->count, tape);
  tx_activate(pass, wanted->count, tape);
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
  backward b = {{pass, block, batch, wanted}, transposed, &whole, gradient, error};
  TX_TRY(mlp_backward(&b, dy));
  return attention_half_backward(&b, dy, dx);
}
