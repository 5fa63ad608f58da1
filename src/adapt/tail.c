/* Forward and gradient of the trainable end. */
#include "adapt/tail.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/exact.h"
#include "base/watch.h"
#include "kernels/product.h"

struct tx_tail {
  tx_tail_options options;
  const tx_facts *facts;
  int64_t blocks; /* k */
  int64_t width;  /* F, of the pooled features */
  tx_trained trained;
};

/* ---- making ------------------------------------------------------------ */

tx_status tx_tail_new(const tx_model *model, tx_tail_options options, tx_tail **tail,
                      tx_error *error) {
  *tail = NULL;
  tx_tail *made = tx_alloc_zero(1, sizeof *made);
  if (!made) return tx_fail_memory(error, sizeof *made, "the trained blocks");
  made->options = options, made->blocks = options.blocks;
  made->facts = tx_model_facts(model);
  made->width = tx_pool_parts(options.pooling) * made->facts->width;
  tx_trained_options trained = {.depth = options.depth,
                                .blocks = options.blocks,
                                .part = options.part,
                                .adapter = options.adapter,
                                .classes = options.classes,
                                .features = made->width,
                                .ids = options.ids,
                                .id_count = options.id_count,
                                .positions = options.positions,
                                .layer_decay = options.layer_decay,
                                .averaged = options.averaged,
                                .packed = options.packed};
  tx_status status = tx_trained_new(model, trained, &made->trained, error);
  if (status == TX_OK) {
    *tail = made;
  } else {
    tx_free(made);
  }
  return status;
}

void tx_tail_free(tx_tail *tail) {
  if (!tail) return;
  tx_trained_free(&tail->trained);
  tx_free(tail);
}

int64_t tx_tail_width(const tx_tail *tail) { return tail->width; }
tx_parameters *tx_tail_parameters(tx_tail *tail) { return &tail->trained.parameters; }
const float *tx_tail_head_weight(const tx_tail *tail) { return tail->trained.head_weight->value; }
const float *tx_tail_head_bias(const tx_tail *tail) { return tail->trained.head_bias->value; }

void tx_tail_set_head(tx_tail *tail, const float *weight, const float *bias) {
  size_t rows = (size_t)tail->options.classes;
  tx_trained *t = &tail->trained;
  memcpy(t->head_weight->value, weight, rows * (size_t)tail->width * sizeof *weight);
  memcpy(t->head_bias->value, bias, rows * sizeof *bias);
  tx_parameters_pack(&t->parameters);
}

/* ---- forward ----------------------------------------------------------- */

/* Everything of one batch between the states and the logits, in the pass's arena. */
typedef struct {
  tx_batch batch;
  tx_wanted all, wanted;
  const int32_t *ids;    /* (T), where embeddings are trained; or NULL */
  float **inputs;        /* (k): (T, C), of each block; the last one's output is `output` */
  tx_tape *tapes;        /* (k), or NULL: computed again */
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

/* The chosen texts' token ids, one after another. */
static tx_status gather_ids(tx_pass *pass, const tx_states *states, tx_choice choice, int64_t from,
                            int64_t count, activations *a, tx_error *error) {
  int32_t *ids = tx_arena_array(pass->arena, (size_t)a->batch.tokens, sizeof *ids);
  if (!ids) return tx_fail_memory(error, (uint64_t)a->batch.tokens * 4, "a batch");
  a->ids = ids;
  for (int64_t i = 0; i < count; i++) {
    int64_t text = text_of(choice, from + i);
    int64_t size = states->offsets[text + 1] - states->offsets[text];
    memcpy(ids, states->ids + states->offsets[text], (size_t)size * sizeof *ids);
    ids += size;
  }
  return TX_OK;
}

/* The chosen texts' states, one after another: (T, C), and the batch over them. */
static tx_status gather(const tx_tail *tail, tx_pass *pass, const tx_states *states, tx_choice choice, int64_t from,
                        int64_t count, activations *a, float **x, tx_error *error) {
  tx_batch *batch = &a->batch;
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
  a->ids = NULL;
  if (!states->rows) {
    TX_TRY(gather_ids(pass, states, choice, from, count, a, error));
    tx_trained_embed(&tail->trained, a->ids, batch->positions, batch->tokens, *x);
    return TX_OK;
  }
  for (int64_t i = 0; i < count; i++) {
    memcpy(*x + offsets[i] * states->width,
           states->rows + states->offsets[text_of(choice, from + i)] * states->width,
           (size_t)((offsets[i + 1] - offsets[i]) * states->width) * sizeof(float));
  }
  return TX_OK;
}

static const tx_wanted *wanted_of(const tx_tail *tail, const activations *a, int64_t block) {
  return block == tail->blocks - 1 ? &a->wanted : &a->all;
}

static bool keeps_tapes(const tx_tail *tail, const activations *a) {
  int64_t tokens = a->batch.tokens;
  uint64_t bytes = (uint64_t)tail->blocks * tx_tape_bytes(tail->facts, tokens, tokens);
  return tail->blocks == 1 || bytes <= tail->options.activation_bytes;
}

/* Each block's output is the next one's input; its tape is let go unless it is kept. */
static tx_status forward_blocks(tx_tail *tail, tx_pass *pass, activations *a, float *x,
                                bool gradient, tx_error *error) {
  int64_t width = tail->facts->width, blocks = tail->blocks;
  bool failed = false, keep = gradient && keeps_tapes(tail, a);
  a->inputs = tx_arena_array(pass->arena, (size_t)blocks, sizeof *a->inputs);
  a->tapes = keep ? tx_arena_array(pass->arena, (size_t)blocks, sizeof *a->tapes) : NULL;
  if (!a->inputs || (keep && !a->tapes)) return tx_fail_memory(error, 0, "a step");
  for (int64_t i = 0; i < blocks; i++) {
    const tx_wanted *wanted = wanted_of(tail, a, i);
    tx_tape own;
    a->inputs[i] = x;
    a->output = take(pass, wanted->count * width, &failed);
    if (failed) return tx_fail_memory(error, (uint64_t)(wanted->count * width) * 4, "a step");
    tx_arena_mark mark = tx_arena_here(pass->arena);
    tx_trained_ready(&tail->trained, i, false);
    TX_TRY(tx_block_forward(pass, &tail->trained.view[i], &a->batch, wanted, x, a->output,
                            keep ? &a->tapes[i] : &own, error));
    if (!keep) tx_arena_release(pass->arena, mark);
    x = a->output;
  }
  return TX_OK;
}

/* `gradient`: one will be asked for. */
static tx_status forward(tx_tail *tail, tx_pass *pass, const tx_states *states, tx_choice choice,
                         int64_t from, int64_t count, bool gradient, activations *a,
                         tx_error *error) {
  int64_t width = tail->facts->width;
  tx_pooling pooling = tail->options.pooling;
  bool failed = false;
  float *x;
  tx_arena_reset(pass->arena);
  TX_TRY(gather(tail, pass, states, choice, from, count, a, &x, error));
  a->features = x;
  if (tail->blocks == 0) return TX_OK;
  a->all = tx_wanted_all(&a->batch);
  TX_TRY(tx_pool_wanted(pass, &a->batch, pooling, &a->wanted, error));
  a->features = take(pass, count * tail->width, &failed);
  float *normed = take(pass, a->wanted.count * width, &failed);
  a->mean = take(pass, a->wanted.count, &failed);
  a->inverse = take(pass, a->wanted.count, &failed);
  if (failed) return tx_fail_memory(error, (uint64_t)(count * width) * 4, "a step");
  TX_TRY(forward_blocks(tail, pass, a, x, gradient, error));
  tx_pool_forward(pass, &tail->trained.norm, pooling, &a->wanted, count, a->output, normed, a->mean,
                  a->inverse, a->features);
  return TX_OK;
}

static tx_status forward_logits(tx_tail *tail, tx_pass *pass, int64_t count, activations *a,
                                tx_error *error) {
  bool failed = false;
  a->logits = take(pass, count * tail->options.classes, &failed);
  if (failed) return tx_fail_memory(error, (uint64_t)(count * tail->options.classes) * 4, "logits");
  tx_product product = {.kernels = pass->kernels,
                        .rows = count,
                        .depth = tail->width,
                        .columns = tail->options.classes,
                        .x = a->features,
                        .x_row = tail->width,
                        .x_step = 1,
                        .panels = tail->trained.head_weight->panels,
                        .bias = tail->trained.head_bias->value,
                        .y = a->logits,
                        .y_row = tail->options.classes};
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
    TX_TRY(forward(tail, pass, states, choice, from, end - from, false, &a, error));
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
    TX_TRY(forward(tail, pass, states, choice, from, end - from, false, &a, error));
    TX_TRY(forward_logits(tail, pass, end - from, &a, error));
    for (int64_t i = 0; i < end - from; i++) {
      const float *logits = a.logits + i * tail->options.classes;
      int32_t label = labels[text_of(choice, from + i)];
      double weight = class_weights ? class_weights[label] : 1;
      sum += weight * negative_log_likelihood(logits, tail->options.classes, label);
      weights += weight;
      *correct += top_of(logits, tail->options.classes) == label;
    }
  }
  *loss = weights > 0 ? sum / weights : 0;
  return TX_OK;
}

/* ---- backward ---------------------------------------------------------- */

/* How a text's loss and its gradient change with its focus. */
static void focus_on(double focus, double log_p, double *loss, double *slope) {
  double p = tx_exp(log_p), away = 1 - p;
  if (away <= 0) {
    *loss = *slope = 0;
    return;
  }
  *loss = tx_power(away, focus);
  *slope = *loss - focus * *loss / away * p * log_p;
}

/* One row of logits becomes the gradient of weight * loss, which is returned. */
static double row_backward(const tx_loss *o, float *row, int classes, int32_t label,
                           double weight) {
  double top, sum = softmax_sum(row, classes, &top), log_sum = top + tx_log(sum), all = 0;
  double share = o->smoothing / classes, right = 1 - o->smoothing, counts = 1, slope = 1;
  for (int c = 0; share > 0 && c < classes; c++) all += (double)row[c];
  double loss = log_sum - (right * (double)row[label] + share * all);
  if (o->focus > 0) focus_on(o->focus, (double)row[label] - log_sum, &counts, &slope);
  for (int c = 0; c < classes; c++) {
    double p = tx_exp((double)row[c] - top) / sum;
    row[c] = (float)(weight * slope * (p - share - (c == label ? right : 0)));
  }
  return weight * counts * loss;
}

/* Turns logits into their gradient and returns the loss. */
static double loss_backward(tx_tail *tail, tx_choice choice, const int32_t *labels,
                            const double *class_weights, double total, float *logits) {
  double loss = 0;
  for (int64_t i = 0; i < choice.count; i++) {
    float *row = logits + i * tail->options.classes;
    int32_t label = labels[text_of(choice, i)];
    double weight = (class_weights ? class_weights[label] : 1) / total;
    loss += row_backward(&tail->options.loss, row, tail->options.classes, label, weight);
  }
  return loss;
}

static tx_status head_backward(tx_tail *tail, tx_pass *pass, int64_t count, const activations *a,
                               float *dfeatures, tx_error *error) {
  int64_t width = tail->width, classes = tail->options.classes;
  bool failed = false;
  float *panels = take(pass, (int64_t)tx_packed_size(count, width), &failed);
  if (failed) return tx_fail_memory(error, 0, "the head's gradient");
  for (int64_t i = 0; i < count; i++) {
    pass->kernels->add(tail->trained.head_bias->gradient, a->logits + i * classes, classes);
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
                        .y = tail->trained.head_weight->gradient,
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
                         .panels = tail->trained.head_weight->transposed,
                         .y = dfeatures,
                         .y_row = width};
  tx_product_run(&product);
  return TX_OK;
}

/* The gradient through block `i`: dy (R, C) is consumed, dx (T, C) written unless NULL. */
static tx_status block_backward(tx_tail *tail, tx_pass *pass, activations *a, int64_t i, float *dy,
                                float *dx, tx_error *error) {
  tx_trained *t = &tail->trained;
  const tx_wanted *wanted = wanted_of(tail, a, i);
  tx_tape own, *tape = a->tapes ? &a->tapes[i] : &own;
  tx_arena_mark mark = tx_arena_here(pass->arena);
  if (!a->tapes) {
    bool failed = false;
    float *again = take(pass, wanted->count * tail->facts->width, &failed);
    if (failed) return tx_fail_memory(error, 0, "the blocks' gradient");
    tx_trained_ready(t, i, false);
    TX_TRY(tx_block_forward(pass, &t->view[i], &a->batch, wanted, a->inputs[i], again, &own, error));
  }
  tx_trained_ready(t, i, true);
  TX_TRY(tx_block_backward(pass, &t->view[i], t->transposed[i], &a->batch, wanted, tape, dy, dx,
                           &t->gradient[i], error));
  tx_arena_release(pass->arena, mark);
  return TX_OK;
}

/* From the last block to the first; two rows of gradients take turns between them. */
static tx_status blocks_backward(tx_tail *tail, tx_pass *pass, int64_t count, activations *a,
                                 const float *dfeatures, float *dstates, tx_error *error) {
  int64_t width = tail->facts->width, blocks = tail->blocks;
  tx_trained *t = &tail->trained;
  bool failed = false;
  float *dy = take(pass, a->wanted.count * width, &failed), *turns[2] = {NULL, NULL};
  for (int64_t i = 1; i < blocks && i <= 2; i++) {
    turns[i % 2] = take(pass, a->batch.tokens * width, &failed);
  }
  if (failed) return tx_fail_memory(error, 0, "the blocks' gradient");
  TX_TRY(tx_pool_backward(pass, &t->norm, tail->options.pooling, &a->wanted, count, a->output,
                          a->mean, a->inverse, dfeatures, dy, t->dnorm_weight, t->dnorm_bias,
                          error));
  for (int64_t i = blocks - 1; i >= 0; i--) {
    float *dx = i > 0 ? turns[i % 2] : dstates;
    TX_TRY(block_backward(tail, pass, a, i, dy, dx, error));
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
  TX_TRY(forward(tail, pass, states, choice, 0, count, true, &a, error));
  TX_TRY(forward_logits(tail, pass, count, &a, error));
  *loss += loss_backward(tail, choice, labels, class_weights, total, a.logits);
  float *dfeatures = tail->blocks ? take(pass, count * tail->width, &failed) : dstates;
  if (failed) return tx_fail_memory(error, 0, "a step's gradient");
  TX_TRY(head_backward(tail, pass, count, &a, dfeatures, error));
  if (tail->blocks == 0) return TX_OK;
  if (a.ids && !dstates) dstates = take(pass, a.batch.tokens * tail->facts->width, &failed);
  if (failed) return tx_fail_memory(error, 0, "a step's gradient");
  TX_TRY(blocks_backward(tail, pass, count, &a, dfeatures, dstates, error));
  if (a.ids) {
    tx_trained_embed_backward(&tail->trained, pass->kernels, a.ids, a.batch.positions,
                              a.batch.tokens, dstates);
  }
  return TX_OK;
}
