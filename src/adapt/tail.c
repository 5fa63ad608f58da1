/* Forward and gradient of the trainable end. */
#include "adapt/tail.h"

#include <string.h>

#include "base/watch.h"
#include "kernels/product.h"

struct tx_tail {
  tx_tail_options options;
  const tx_facts *facts;
  int64_t blocks; /* k */
  int64_t width;  /* F, of the pooled features */
  tx_stack stack;
};

/* ---- making ------------------------------------------------------------ */

tx_status tx_tail_new(const tx_model *model, tx_tail_options options, tx_tail **tail,
                      tx_error *error) {
  *tail = NULL;
  tx_tail *made = tx_alloc_zero(1, sizeof *made);
  if (!made) return tx_fail_memory(error, sizeof *made, "the trained blocks");
  made->options = options, made->blocks = options.blocks;
  made->facts = tx_model_facts(model);
  made->stack.activation_bytes = options.activation_bytes;
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
                                .query = options.pooling == TX_POOLING_ATTENTION,
                                .layer_decay = options.layer_decay,
                                .averaged = options.averaged,
                                .packed = options.packed};
  tx_status status = tx_trained_new(model, trained, &made->stack.trained, error);
  if (status == TX_OK) {
    *tail = made;
  } else {
    tx_free(made);
  }
  return status;
}

void tx_tail_free(tx_tail *tail) {
  if (!tail) return;
  tx_trained_free(&tail->stack.trained);
  tx_free(tail);
}

int64_t tx_tail_width(const tx_tail *tail) { return tail->width; }
tx_parameters *tx_tail_parameters(tx_tail *tail) { return &tail->stack.trained.parameters; }
const float *tx_tail_head_weight(const tx_tail *tail) {
  return tail->stack.trained.head_weight->value;
}
const float *tx_tail_head_bias(const tx_tail *tail) { return tail->stack.trained.head_bias->value; }

void tx_tail_set_head(tx_tail *tail, const float *weight, const float *bias) {
  size_t rows = (size_t)tail->options.classes;
  tx_trained *t = &tail->stack.trained;
  memcpy(t->head_weight->value, weight, rows * (size_t)tail->width * sizeof *weight);
  memcpy(t->head_bias->value, bias, rows * sizeof *bias);
  tx_parameters_pack(&t->parameters);
}

/* ---- forward ----------------------------------------------------------- */

/* Everything of one batch between the states and the logits, in the pass's arena. */
typedef struct {
  tx_stack_run run;
  float *normed;         /* (R, C) */
  float *mean, *inverse; /* (R), of the output norm */
  float *features;       /* (B, F) */
  float *logits;         /* (B, classes) */
} activations;

static float *take(tx_pass *pass, int64_t count, bool *failed) {
  float *floats = tx_arena_array(pass->arena, (size_t)count, sizeof(float));
  if (!floats) *failed = true;
  return floats;
}

static tx_pool pool_of(const tx_tail *tail) {
  const tx_parameter *query = tail->stack.trained.query;
  return (tx_pool){tail->options.pooling, query ? query->value : NULL};
}

/* `gradient`: one will be asked for. */
static tx_status forward(tx_tail *tail, tx_pass *pass, const tx_states *states, tx_choice choice,
                         int64_t from, int64_t count, bool gradient, activations *a,
                         tx_error *error) {
  tx_stack_run *run = &a->run;
  tx_pooling pooling = tail->options.pooling;
  bool failed = false;
  TX_TRY(tx_stack_gather(&tail->stack, pass, states, choice, from, count, run, error));
  a->features = run->x;
  if (tail->blocks == 0) return TX_OK;
  TX_TRY(tx_pool_wanted(pass, &run->batch, pooling, &run->wanted, error));
  a->features = take(pass, count * tail->width, &failed);
  a->normed = take(pass, run->wanted.count * tail->facts->width, &failed);
  a->mean = take(pass, run->wanted.count, &failed);
  a->inverse = take(pass, run->wanted.count, &failed);
  if (failed) return tx_fail_memory(error, (uint64_t)(count * tail->width) * 4, "a step");
  TX_TRY(tx_stack_forward(&tail->stack, pass, gradient, run, error));
  return tx_pool_forward(pass, &tail->stack.trained.norm, pool_of(tail), &run->wanted, count,
                         run->output, a->normed, a->mean, a->inverse, a->features, error);
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
                        .panels = tail->stack.trained.head_weight->panels,
                        .bias = tail->stack.trained.head_bias->value,
                        .y = a->logits,
                        .y_row = tail->options.classes};
  tx_product_run(&product);
  return TX_OK;
}

tx_status tx_tail_features(tx_tail *tail, tx_pass *pass, const tx_states *states, tx_choice choice,
                           float *features, const tx_watch *watch, tx_error *error) {
  int64_t total = tx_choice_count(states, choice), width = tail->width;
  for (int64_t from = 0, end; from < total; from = end) {
    activations a;
    end = tx_stack_part_end(states, choice, from);
    TX_TRY(tx_watch_check(watch, error));
    TX_TRY(forward(tail, pass, states, choice, from, end - from, false, &a, error));
    memcpy(features + from * width, a.features, (size_t)((end - from) * width) * sizeof(float));
  }
  return TX_OK;
}

/* ---- loss -------------------------------------------------------------- */

tx_status tx_tail_loss(tx_tail *tail, tx_pass *pass, const tx_states *states, tx_choice choice,
                       tx_truth truth, double *loss, int64_t *correct, const tx_watch *watch,
                       tx_error *error) {
  int classes = tail->options.classes;
  int64_t total = tx_choice_count(states, choice);
  double sum = 0, weights = 0;
  *correct = 0;
  for (int64_t from = 0, end; from < total; from = end) {
    activations a;
    end = tx_stack_part_end(states, choice, from);
    TX_TRY(tx_watch_check(watch, error));
    TX_TRY(forward(tail, pass, states, choice, from, end - from, false, &a, error));
    TX_TRY(forward_logits(tail, pass, end - from, &a, error));
    for (int64_t i = 0; i < end - from; i++) {
      const float *logits = a.logits + i * classes;
      int64_t text = tx_choice_text(choice, from + i);
      double weight = tx_truth_weight(truth, text);
      sum += weight * tx_truth_loss(truth, text, logits, classes);
      weights += weight;
      *correct += tx_truth_met(truth, text, logits, classes);
    }
  }
  *loss = weights > 0 ? sum / weights : 0;
  return TX_OK;
}

/* ---- backward ---------------------------------------------------------- */

/* Turns logits into their gradient and returns the loss. */
static double loss_backward(tx_tail *tail, tx_choice choice, tx_truth truth, double total,
                            float *logits) {
  double loss = 0;
  int classes = tail->options.classes;
  for (int64_t i = 0; i < choice.count; i++) {
    int64_t text = tx_choice_text(choice, i);
    loss += tx_truth_backward(truth, text, &tail->options.loss, logits + i * classes, classes,
                              tx_truth_weight(truth, text) / total);
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
    pass->kernels->add(tail->stack.trained.head_bias->gradient, a->logits + i * classes, classes);
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
                        .y = tail->stack.trained.head_weight->gradient,
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
                         .panels = tail->stack.trained.head_weight->transposed,
                         .y = dfeatures,
                         .y_row = width};
  tx_product_run(&product);
  return TX_OK;
}

static tx_status blocks_backward(tx_tail *tail, tx_pass *pass, int64_t count, const activations *a,
                                 const float *dfeatures, float *dstates, tx_error *error) {
  tx_trained *t = &tail->stack.trained;
  const tx_stack_run *run = &a->run;
  bool failed = false;
  float *dy = take(pass, run->wanted.count * tail->facts->width, &failed);
  if (failed) return tx_fail_memory(error, 0, "the blocks' gradient");
  TX_TRY(tx_pool_backward(pass, &t->norm, pool_of(tail), &run->wanted, count, run->output,
                          a->normed, a->mean, a->inverse, dfeatures, dy, t->dnorm_weight,
                          t->dnorm_bias, t->query ? t->query->gradient : NULL, error));
  return tx_stack_backward(&tail->stack, pass, run, dy, dstates, error);
}

tx_status tx_tail_gradient(tx_tail *tail, tx_pass *pass, const tx_states *states, tx_choice choice,
                           tx_truth truth, double total, double *loss, float *dstates,
                           tx_error *error) {
  activations a;
  bool failed = false;
  int64_t count = choice.count = tx_choice_count(states, choice);
  TX_TRY(forward(tail, pass, states, choice, 0, count, true, &a, error));
  TX_TRY(forward_logits(tail, pass, count, &a, error));
  *loss += loss_backward(tail, choice, truth, total, a.logits);
  float *dfeatures = tail->blocks ? take(pass, count * tail->width, &failed) : dstates;
  if (failed) return tx_fail_memory(error, 0, "a step's gradient");
  TX_TRY(head_backward(tail, pass, count, &a, dfeatures, error));
  return tail->blocks ? blocks_backward(tail, pass, count, &a, dfeatures, dstates, error) : TX_OK;
}

/* ---- as a learner ------------------------------------------------------ */

static double lesson_weight(const void *self, int64_t example) {
  const tx_tail_lesson *lesson = self;
  return tx_truth_weight(lesson->truth, example);
}

static int64_t lesson_tokens(const void *self, int64_t example) {
  const int64_t *offsets = ((const tx_tail_lesson *)self)->train->offsets;
  return offsets[example + 1] - offsets[example];
}

static tx_status lesson_gradient(void *self, const int64_t *examples, int64_t count, double total,
                                 double *loss, tx_error *error) {
  const tx_tail_lesson *l = self;
  return tx_tail_gradient(l->tail, l->pass, l->train, (tx_choice){examples, count}, l->truth, total,
                          loss, NULL, error);
}

static tx_status lesson_judge(void *self, double *loss, double *accuracy, const tx_watch *watch,
                              tx_error *error) {
  const tx_tail_lesson *l = self;
  tx_truth truth = l->held_out_truth;
  int64_t correct;
  truth.weights = NULL;
  TX_TRY(tx_tail_loss(l->tail, l->pass, l->held_out, (tx_choice){NULL, 0}, truth, loss, &correct,
                      watch, error));
  *accuracy = (double)correct / (double)l->held_out->count;
  return TX_OK;
}

tx_learner tx_tail_learner(tx_tail_lesson *lesson) {
  return (tx_learner){.self = lesson,
                      .parameters = tx_tail_parameters(lesson->tail),
                      .kernels = lesson->pass->kernels,
                      .examples = lesson->train->count,
                      .labels = lesson->truth.labels,
                      .weight = lesson_weight,
                      .tokens = lesson_tokens,
                      .gradient = lesson_gradient,
                      .judge = lesson_judge};
}
