/* A label set's trained end: made, given its first head, and taken through gradient steps. */
#include "tasks/label_set_parts.h"

#include <math.h>

#include "adapt/fit.h"
#include "adapt/head.h"
#include "base/random.h"
#include "base/watch.h"
#include "tasks/run.h"

/* ---- making it ---------------------------------------------------------- */

tx_status tx_label_set_new_tail(tx_training *t, tx_label_set *set, tx_error *error) {
  tx_tail_options options = {.depth = set->depth,
                             .blocks = set->blocks,
                             .pooling = set->pooling,
                             .classes = set->split.classes,
                             .part = tx_training_part(set->method),
                             .loss = {t->options->label_smoothing, t->options->focal},
                             .ids = set->ids,
                             .id_count = set->id_count,
                             .positions = set->positions,
                             .layer_decay = t->options->layer_decay,
                             .averaged = t->options->ema > 0,
                             .activation_bytes = tx_training_activations(t),
                             .adapter = tx_training_adapter(t)};
  if (options.part == TX_TRAINED_NORMS || options.part == TX_TRAINED_ADAPTERS) {
    TX_TRY(tx_model_load(t->model, set->depth - set->blocks, set->depth, error));
  }
  return tx_tail_new(t->model, options, &set->tail, error);
}

static tx_status solve_head(tx_training *t, tx_label_set *set, const float *features, float *weight,
                            float *bias, tx_error *error) {
  const tx_labelled *rows = &set->split.train;
  tx_head_options options = {t->options->penalty, TX_LABEL_SET_FOLDS, t->options->seed,
                             tx_label_set_weights(t, set), rows->marks, t->memo};
  return tx_head_fit(features, rows->labels, rows->hashes, rows->count, tx_tail_width(set->tail),
                     set->split.classes, options, weight, bias, &set->penalty, t->watch, error);
}

/* As a new linear layer starts in the book's recipe: uniform within 1 / sqrt(F). */
static void random_head(uint64_t seed, int64_t width, int classes, float *weight, float *bias) {
  tx_random random = tx_random_seed(seed);
  double bound = 1 / sqrt((double)width);
  for (int64_t i = 0; i < classes * width; i++) {
    weight[i] = (float)(bound * (2 * tx_random_uniform(&random) - 1));
  }
  for (int c = 0; c < classes; c++) bias[c] = (float)(bound * (2 * tx_random_uniform(&random) - 1));
}

tx_status tx_label_set_start_head(tx_training *t, tx_label_set *set, const float *pooled,
                                  tx_error *error) {
  int64_t width = tx_tail_width(set->tail), classes = set->split.classes;
  int64_t rows = set->split.train.count;
  bool convex = t->options->head_solver == TX_HEAD_CONVEX;
  size_t floats = (size_t)(classes * (width + 1) + (convex && set->blocks ? rows * width : 0));
  float *weight = tx_alloc_array(floats, sizeof(float));
  if (!weight) return tx_fail_memory(error, floats * 4, "the head");
  float *bias = weight + classes * width, *features = bias + classes;
  tx_status status = TX_OK;
  if (!convex) {
    random_head(t->options->seed, width, (int)classes, weight, bias);
  } else if (set->blocks == 0) {
    status = solve_head(t, set, set->train.states.rows, weight, bias, error);
  } else if (pooled) {
    status = solve_head(t, set, pooled, weight, bias, error);
  } else {
    tx_choice all = {NULL, 0};
    status = tx_tail_features(set->tail, &t->pass, &set->train.states, all, features, t->watch,
                              error);
    if (status == TX_OK) status = solve_head(t, set, features, weight, bias, error);
  }
  if (status == TX_OK) tx_tail_set_head(set->tail, weight, bias);
  tx_free(weight);
  return status;
}

/* What few parameters can move, they move further. */
static double own_learning_rate(const tx_label_set *set) {
  if (set->blocks == 0 || set->method == TX_METHOD_NORMS) return 1e-3;
  return set->method == TX_METHOD_LORA ? 2e-4 : 5e-5;
}

tx_status tx_label_set_steps(tx_training *t, tx_label_set *set, tx_error *error) {
  const tx_train_options *o = t->options;
  bool trial = o->method == TX_METHOD_AUTO; /* most are not kept: give up soon */
  tx_fit_options options = tx_training_steps(t);
  options.epochs = o->epochs > 0 ? o->epochs : trial ? 2 : 5;
  options.patience = o->patience > 0 ? o->patience : trial ? 1 : 2;
  tx_tail_lesson lesson = {.tail = set->tail,
                           .pass = &t->pass,
                           .train = &set->train.states,
                           .held_out = &set->validation.states,
                           .truth = tx_labelled_truth(&set->split.train),
                           .held_out_truth = tx_labelled_truth(&set->split.validation)};
  lesson.truth.weights = tx_label_set_weights(t, set);
  tx_learner learner = tx_tail_learner(&lesson);
  options.learning_rate = o->learning_rate > 0 ? o->learning_rate : own_learning_rate(set);
  tx_fit_report fit;
  if (o->sweep) TX_TRY(tx_training_sweep(t, &learner, &options, error));
  tx_memo_write(t->memo, t->watch); /* hours may follow */
  TX_TRY(tx_fit(&learner, options, &fit, t->watch, error));
  set->epochs = fit.epochs;
  set->best_epoch = fit.best_epoch;
  set->learning_rate = options.learning_rate;
  return TX_OK;
}
