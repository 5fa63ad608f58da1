/* Forward and gradient of the trainable end. */
#include "adapt/tail.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/exact.h"
#include "base/watch.h"
#include "kernels/product.h"

struct tx_tail {
  const tx_facts *facts;
  int64_t depth, blocks; /* L', k */
  int64_t width;         /* F, of the pooled features */
  tx_pooling pooling;
  int classes;
  tx_parameters parameters;
  tx_block *view;                          /* (k), over the parameters' panels */
  tx_block_gradient *gradient;             /* (k) */
  const float *(*transposed)[TX_MATRICES]; /* (k) */
  tx_norm norm;
  float *dnorm_weight, *dnorm_bias;
  tx_parameter *head_weight, *head_bias;
};

/* ---- making ------------------------------------------------------------ */

/* Names are declared and views bound by one walk over the same parameters, run
 * once before their memory exists and once after. */
typedef struct {
  tx_tail *tail;
  int64_t next;
  bool bind;
} walk;

static tx_parameter *visit(walk *w, const char *name, int64_t outputs, int64_t inputs) {
  if (!w->bind) return tx_parameters_add(&w->tail->parameters, name, outputs, inputs);
  return &w->tail->parameters.items[w->next++];
}

static void walk_norm(walk *w, const char *stem, tx_norm *norm, float **dweight, float **dbias) {
  char name[80];
  int64_t width = w->tail->facts->width;
  snprintf(name, sizeof name, "%s.weight", stem);
  tx_parameter *weight = visit(w, name, 1, width);
  norm->weight = weight->value, *dweight = weight->gradient;
  if (w->tail->facts->architecture->norm != TX_NORM_LAYER) return;
  snprintf(name, sizeof name, "%s.bias", stem);
  tx_parameter *bias = visit(w, name, 1, width);
  norm->bias = bias->value, *dbias = bias->gradient;
}

static void walk_block(walk *w, int64_t index) {
  tx_tail *tail = w->tail;
  int64_t block = tail->depth - tail->blocks + index;
  char name[80];
  for (int slot = 0; slot < TX_MATRICES; slot++) {
    tx_matrix *matrix = &tail->view[index].matrix[slot];
    tx_matrix_shape(tail->facts, (tx_matrix_slot)slot, &matrix->outputs, &matrix->inputs);
    if (matrix->outputs == 0) continue;
    const char *stem = tx_matrix_stem((tx_matrix_slot)slot);
    snprintf(name, sizeof name, "blk.%" PRId64 ".%s.weight", block, stem);
    tx_parameter *weight = visit(w, name, matrix->outputs, matrix->inputs);
    matrix->panels = weight->panels;
    tail->transposed[index][slot] = weight->transposed;
    tail->gradient[index].matrix[slot] = weight->gradient;
    if (!tail->facts->architecture->biases) continue;
    snprintf(name, sizeof name, "blk.%" PRId64 ".%s.bias", block, stem);
    tx_parameter *bias = visit(w, name, 1, matrix->outputs);
    matrix->bias = bias->value;
    tail->gradient[index].bias[slot] = bias->gradient;
  }
  for (int slot = 0; slot < TX_NORMS; slot++) {
    snprintf(name, sizeof name, "blk.%" PRId64 ".%s", block, tx_norm_stem((tx_norm_slot)slot));
    walk_norm(w, name, &tail->view[index].norm[slot], &tail->gradient[index].norm_weight[slot],
              &tail->gradient[index].norm_bias[slot]);
  }
}

static void walk_all(tx_tail *tail, bool bind) {
  walk w = {tail, 0, bind};
  for (int64_t i = 0; i < tail->blocks; i++) walk_block(&w, i);
  if (tail->blocks)
    walk_norm(&w, "output_norm", &tail->norm, &tail->dnorm_weight, &tail->dnorm_bias);
  tail->head_weight = visit(&w, "head.weight", tail->classes, tail->width);
  tail->head_bias = visit(&w, "head.bias", 1, tail->classes);
}

static tx_status read_block(tx_tail *tail, const tx_model *model, int64_t index, tx_error *error) {
  int64_t block = tail->depth - tail->blocks + index;
  const tx_block *view = &tail->view[index];
  tx_parameter *item = tail->parameters.items;
  for (int slot = 0; slot < TX_MATRICES; slot++) {
    if (view->matrix[slot].outputs == 0) continue;
    while (item->panels != view->matrix[slot].panels) item++;
    TX_TRY(tx_model_read_matrix(model, block, (tx_matrix_slot)slot, false, item->value, error));
    if (!view->matrix[slot].bias) continue;
    TX_TRY(tx_model_read_matrix(model, block, (tx_matrix_slot)slot, true,
                                (float *)view->matrix[slot].bias, error));
  }
  for (int slot = 0; slot < TX_NORMS; slot++) {
    TX_TRY(tx_model_read_norm(model, block, (tx_norm_slot)slot, (float *)view->norm[slot].weight,
                              (float *)view->norm[slot].bias, error));
  }
  return TX_OK;
}

static tx_status read_weights(tx_tail *tail, const tx_model *model, tx_error *error) {
  for (int64_t i = 0; i < tail->blocks; i++) TX_TRY(read_block(tail, model, i, error));
  if (tail->blocks) {
    const tx_norm *norm = tx_model_output_norm(model);
    size_t bytes = (size_t)tail->facts->width * sizeof(float);
    memcpy((float *)tail->norm.weight, norm->weight, bytes);
    if (norm->bias) memcpy((float *)tail->norm.bias, norm->bias, bytes);
  }
  tx_parameters_pack(&tail->parameters);
  return TX_OK;
}

static tx_status build(tx_tail *tail, const tx_model *model, tx_error *error) {
  size_t blocks = (size_t)tail->blocks;
  tail->view = tx_alloc_zero(blocks, sizeof *tail->view);
  tail->gradient = tx_alloc_zero(blocks, sizeof *tail->gradient);
  tail->transposed = tx_alloc_zero(blocks, sizeof *tail->transposed);
  if (!tail->view || !tail->gradient || !tail->transposed) {
    return tx_fail_memory(error, blocks * sizeof *tail->view, "the trained blocks");
  }
  int64_t capacity = tail->blocks * 2 * (TX_MATRICES + TX_NORMS) + 4;
  TX_TRY(tx_parameters_new(capacity, &tail->parameters, error));
  walk_all(tail, false);
  TX_TRY(tx_parameters_allocate(&tail->parameters, error));
  walk_all(tail, true);
  return read_weights(tail, model, error);
}

tx_status tx_tail_new(const tx_model *model, int64_t depth, int64_t blocks, tx_pooling pooling,
                      int classes, tx_tail **tail, tx_error *error) {
  *tail = NULL;
  tx_tail *made = tx_alloc_zero(1, sizeof *made);
  if (!made) return tx_fail_memory(error, sizeof *made, "the trained blocks");
  made->facts = tx_model_facts(model);
  made->depth = depth, made->blocks = blocks, made->pooling = pooling, made->classes = classes;
  made->width = tx_pool_parts(pooling) * made->facts->width;
  tx_status status = build(made, model, error);
  if (status != TX_OK) {
    tx_tail_free(made);
    return status;
  }
  *tail = made;
  return TX_OK;
}

void tx_tail_free(tx_tail *tail) {
  if (!tail) return;
  tx_parameters_free(&tail->parameters);
  tx_free(tail->view);
  tx_free(tail->gradient);
  tx_free(tail->transposed);
  tx_free(tail);
}

int64_t tx_tail_width(const tx_tail *tail) { return tail->width; }
tx_parameters *tx_tail_parameters(tx_tail *tail) { return &tail->parameters; }
const float *tx_tail_head_weight(const tx_tail *tail) { return tail->head_weight->value; }
const float *tx_tail_head_bias(const tx_tail *tail) { return tail->head_bias->value; }

void tx_tail_set_head(tx_tail *tail, const float *weight, const float *bias) {
  size_t rows = (size_t)tail->classes;
  memcpy(tail->head_weight->value, weight, rows * (size_t)tail->width * sizeof *weight);
  memcpy(tail->head_bias->value, bias, rows * sizeof *bias);
  tx_parameters_pack(&tail->parameters);
}

/* ---- forward ----------------------------------------------------------- */

/* Everything of one batch between the states and the logits, in the pass's arena. */
typedef struct {
  tx_batch batch;
  tx_wanted all, wanted;
  tx_tape *tapes;        /* (k) */
  float *output;         /* (R, C), of the last block */
  float *mean, *inverse; /* (R), of the output norm */
  float *features;       /* (B, C) */
  float *logits;         /* (B, classes) */
} activations;

static float *take(tx_pass *pass, int64_t count, bool *failed) {
  float *floats = tx_arena_array(pass->arena, (size_t)count, sizeof(float));
  if (!floats) *failed = true;
  return floats;
}

static int64_t text_of(tx_choice choice, int64_t i) { return choice.texts ? choice.texts[i] : i; }

/* The chosen texts' states, one after another: (T, C), and the batch over them. */
static tx_status gather(tx_pass *pass, const tx_states *states, tx_choice choice, int64_t from,
                        int64_t count, tx_batch *batch, float **x, tx_error *error) {
  int64_t *offsets = tx_arena_array(pass->arena, (size_t)(count + 1), sizeof *offsets);
  if (!offsets) return tx_fail_memory(error, (uint64_t)count * 8, "a batch");
  offsets[0] = 0;
  for (int64_t i = 0; i < count; i++) {
    int64_t text = text_of(choice, from + i);
    offsets[i + 1] = offsets[i] + states->offsets[text + 1] - states->offsets[text];
  }
  TX_TRY(tx_batch_make(pass, offsets, count, batch, error));
  bool failed = false;
  *x = take(pass, batch->tokens * states->width, &failed);
  if (failed)
    return tx_fail_memory(error, (uint64_t)(batch->tokens * states->width) * 4, "a batch");
  for (int64_t i = 0; i < count; i++) {
    memcpy(*x + offsets[i] * states->width,
           states->rows + states->offsets[text_of(choice, from + i)] * states->width,
           (size_t)((offsets[i + 1] - offsets[i]) * states->width) * sizeof(float));
  }
  return TX_OK;
}

static tx_status forward(tx_tail *tail, tx_pass *pass, const tx_states *states, tx_choice choice,
                         int64_t from, int64_t count, activations *a, tx_error *error) {
  int64_t width = tail->facts->width;
  bool failed = false;
  float *x;
  tx_arena_reset(pass->arena);
  TX_TRY(gather(pass, states, choice, from, count, &a->batch, &x, error));
  a->features = x;
  if (tail->blocks == 0) return TX_OK;
  a->all = tx_wanted_all(&a->batch);
  TX_TRY(tx_pool_wanted(pass, &a->batch, tail->pooling, &a->wanted, error));
  a->tapes = tx_arena_array(pass->arena, (size_t)tail->blocks, sizeof *a->tapes);
  a->features = take(pass, count * tail->width, &failed);
  float *normed = take(pass, a->wanted.count * width, &failed);
  a->mean = take(pass, a->wanted.count, &failed);
  a->inverse = take(pass, a->wanted.count, &failed);
  for (int64_t i = 0; i < tail->blocks; i++) {
    const tx_wanted *wanted = i == tail->blocks - 1 ? &a->wanted : &a->all;
    a->output = take(pass, wanted->count * width, &failed);
    if (failed || !a->tapes) return tx_fail_memory(error, (uint64_t)(count * width) * 4, "a step");
    TX_TRY(tx_block_forward(pass, &tail->view[i], &a->batch, wanted, x, a->output, &a->tapes[i],
                            error));
    x = a->output;
  }
  tx_pool_forward(pass, &tail->norm, tail->pooling, &a->wanted, count, a->output, normed, a->mean,
                  a->inverse, a->features);
  return TX_OK;
}

static tx_status forward_logits(tx_tail *tail, tx_pass *pass, int64_t count, activations *a,
                                tx_error *error) {
  bool failed = false;
  a->logits = take(pass, count * tail->classes, &failed);
  if (failed) return tx_fail_memory(error, (uint64_t)(count * tail->classes) * 4, "logits");
  tx_product product = {.kernels = pass->kernels,
                        .rows = count,
                        .depth = tail->width,
                        .columns = tail->classes,
                        .x = a->features,
                        .x_row = tail->width,
                        .x_step = 1,
                        .panels = tail->head_weight->panels,
                        .bias = tail->head_bias->value,
                        .y = a->logits,
                        .y_row = tail->classes};
  tx_product_run(&product);
  return TX_OK;
}

/* Texts taken together when nothing is trained: as many as the token budget holds. */
static int64_t part_end(const tx_states *states, tx_choice choice, int64_t from) {
  int64_t end = from, tokens = 0, total = choice.texts ? choice.count : states->count;
  while (end < total) {
    int64_t text = text_of(choice, end);
    tokens += states->offsets[text + 1] - states->offsets[text];
    if (end > from && tokens > TX_BATCH_TOKENS) break;
    end++;
  }
  return end;
}

tx_status tx_tail_features(tx_tail *tail, tx_pass *pass, const tx_states *states, tx_choice choice,
                           float *features, const tx_watch *watch, tx_error *error) {
  int64_t total = choice.texts ? choice.count : states->count, width = tail->width;
  for (int64_t from = 0, end; from < total; from = end) {
    activations a;
    end = part_end(states, choice, from);
    TX_TRY(tx_watch_check(watch, error));
    TX_TRY(forward(tail, pass, states, choice, from, end - from, &a, error));
    memcpy(features + from * width, a.features, (size_t)((end - from) * width) * sizeof(float));
  }
  return TX_OK;
}

/* ---- loss -------------------------------------------------------------- */

/* The softmax of a row of logits: its largest, and the sum of exp(logit - largest). */
static double softmax_sum(const float *logits, int classes, double *largest) {
  double top = (double)logits[0], sum = 0;
  for (int c = 1; c < classes; c++) top = (double)logits[c] > top ? (double)logits[c] : top;
  for (int c = 0; c < classes; c++) sum += tx_exp((double)logits[c] - top);
  *largest = top;
  return sum;
}

void tx_softmax(const float *logits, int64_t rows, int classes, float *probabilities) {
  for (int64_t i = 0; i < rows; i++) {
    const float *row = logits + i * classes;
    double top, sum = softmax_sum(row, classes, &top);
    for (int c = 0; c < classes; c++) {
      probabilities[i * classes + c] = (float)(tx_exp((double)row[c] - top) / sum);
    }
  }
}

static double negative_log_likelihood(const float *logits, int classes, int32_t label) {
  double top, sum = softmax_sum(logits, classes, &top);
  return top + tx_log(sum) - (double)logits[label];
}

static int32_t top_of(const float *logits, int classes) {
  int32_t best = 0;
  for (int32_t c = 1; c < classes; c++) best = logits[c] > logits[best] ? c : best;
  return best;
}

tx_status tx_tail_loss(tx_tail *tail, tx_pass *pass, const tx_states *states, tx_choice choice,
                       const int32_t *labels, const double *class_weights, double *loss,
                       int64_t *correct, const tx_watch *watch, tx_error *error) {
  int64_t total = choice.texts ? choice.count : states->count;
  double sum = 0, weights = 0;
  *correct = 0;
  for (int64_t from = 0, end; from < total; from = end) {
    activations a;
    end = part_end(states, choice, from);
    TX_TRY(tx_watch_check(watch, error));
    TX_TRY(forward(tail, pass, states, choice, from, end - from, &a, error));
    TX_TRY(forward_logits(tail, pass, end - from, &a, error));
    for (int64_t i = 0; i < end - from; i++) {
      const float *logits = a.logits + i * tail->classes;
      int32_t label = labels[text_of(choice, from + i)];
      double weight = class_weights ? class_weights[label] : 1;
      sum += weight * negative_log_likelihood(logits, tail->classes, label);
      weights += weight;
      *correct += top_of(logits, tail->classes) == label;
    }
  }
  *loss = weights > 0 ? sum / weights : 0;
  return TX_OK;
}

/* ---- backward ---------------------------------------------------------- */

/* Turns logits into their gradient and returns the loss. */
static double loss_backward(tx_tail *tail, tx_choice choice, const int32_t *labels,
                            const double *class_weights, double total, float *logits) {
  double loss = 0;
  for (int64_t i = 0; i < choice.count; i++) {
    float *row = logits + i * tail->classes;
    int32_t label = labels[text_of(choice, i)];
    double weight = (class_weights ? class_weights[label] : 1) / total, top;
    double sum = softmax_sum(row, tail->classes, &top);
    loss += weight * (top + tx_log(sum) - (double)row[label]);
    for (int c = 0; c < tail->classes; c++) {
      double p = tx_exp((double)row[c] - top) / sum;
      row[c] = (float)(weight * (p - (c == label)));
    }
  }
  return loss;
}

static tx_status head_backward(tx_tail *tail, tx_pass *pass, int64_t count, const activations *a,
                               float *dfeatures, tx_error *error) {
  int64_t width = tail->width, classes = tail->classes;
  bool failed = false;
  float *panels = take(pass, (int64_t)tx_packed_size(count, width), &failed);
  if (failed) return tx_fail_memory(error, 0, "the head's gradient");
  for (int64_t i = 0; i < count; i++) {
    pass->kernels->add(tail->head_bias->gradient, a->logits + i * classes, classes);
  }
  tx_pack(a->features, width, 1, count, width, panels);
  tx_product product = {.kernels = pass->kernels,
                        .rows = classes,
                        .depth = count,
                        .columns = width,
                        .x = a->logits,
                        .x_row = 1,
                        .x_step = classes,
                        .panels = panels,
                        .accumulate = true,
                        .y = tail->head_weight->gradient,
                        .y_row = width};
  tx_product_run(&product);
  if (!dfeatures) return TX_OK;
  product = (tx_product){.kernels = pass->kernels,
                         .rows = count,
                         .depth = classes,
                         .columns = width,
                         .x = a->logits,
                         .x_row = classes,
                         .x_step = 1,
                         .panels = tail->head_weight->transposed,
                         .y = dfeatures,
                         .y_row = width};
  tx_product_run(&product);
  return TX_OK;
}

static tx_status blocks_backward(tx_tail *tail, tx_pass *pass, int64_t count, activations *a,
                                 const float *dfeatures, float *dstates, tx_error *error) {
  int64_t width = tail->facts->width;
  bool failed = false;
  float *dy = take(pass, a->wanted.count * width, &failed);
  if (failed) return tx_fail_memory(error, 0, "the blocks' gradient");
  TX_TRY(tx_pool_backward(pass, &tail->norm, tail->pooling, &a->wanted, count, a->output, a->mean,
                          a->inverse, dfeatures, dy, tail->dnorm_weight, tail->dnorm_bias, error));
  for (int64_t i = tail->blocks - 1; i >= 0; i--) {
    const tx_wanted *wanted = i == tail->blocks - 1 ? &a->wanted : &a->all;
    float *dx = i ? take(pass, a->batch.tokens * width, &failed) : dstates;
    if (failed) return tx_fail_memory(error, 0, "the blocks' gradient");
    TX_TRY(tx_block_backward(pass, &tail->view[i], tail->transposed[i], &a->batch, wanted,
                             &a->tapes[i], dy, dx, &tail->gradient[i], error));
    dy = dx;
  }
  return TX_OK;
}

tx_status tx_tail_gradient(tx_tail *tail, tx_pass *pass, const tx_states *states, tx_choice choice,
                           const int32_t *labels, const double *class_weights, double total,
                           double *loss, float *dstates, tx_error *error) {
  activations a;
  bool failed = false;
  int64_t count = choice.count = choice.texts ? choice.count : states->count;
  TX_TRY(forward(tail, pass, states, choice, 0, count, &a, error));
  TX_TRY(forward_logits(tail, pass, count, &a, error));
  *loss += loss_backward(tail, choice, labels, class_weights, total, a.logits);
  float *dfeatures = tail->blocks ? take(pass, count * tail->width, &failed) : dstates;
  if (failed) return tx_fail_memory(error, 0, "a step's gradient");
  TX_TRY(head_backward(tail, pass, count, &a, dfeatures, error));
  if (tail->blocks == 0) return TX_OK;
  return blocks_backward(tail, pass, count, &a, dfeatures, dstates, error);
}
