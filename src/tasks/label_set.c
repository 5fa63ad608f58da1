/* One label set from its table to its trained end. */
#include "tasks/label_set.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "adapt/fit.h"
#include "adapt/head.h"
#include "base/clock.h"
#include "base/exact.h"
#include "base/random.h"
#include "base/watch.h"
#include "formats/nearest.h"
#include "kernels/product.h"
#include "score/blend.h"
#include "score/linear.h"
#include "score/network.h"
#include "tasks/run.h"
#include "trust/comparison.h"
#include "trust/metrics.h"

enum { FOLDS = 5 };

/* ---- reading ----------------------------------------------------------- */

static tx_status encode_rows(tx_training *t, const tx_labelled *rows, tx_rows_of_states *to,
                             tx_error *error) {
  TX_TRY(tx_encode(t->tokenizer, rows->texts, rows->count, (tx_encoding){t->max_tokens, t->options->pad_to}, &to->tokens, error));
  to->singles = tx_alloc_array((size_t)rows->count + 1, sizeof *to->singles);
  if (!to->singles) return tx_fail_memory(error, (uint64_t)rows->count * 8, "the rows");
  for (int64_t i = 0; i <= rows->count; i++) to->singles[i] = i;
  return TX_OK;
}

/* Labels of a single row: too few to learn from, and often a slip of the pen. */
static tx_status note_single_labels(const tx_training *t, const tx_label_set *set,
                                    const int64_t *counts, tx_error *error) {
  size_t classes = (size_t)set->split.classes, count = 0;
  tx_text *names = tx_alloc_array(classes, sizeof *names);
  if (!names) return tx_fail_memory(error, classes * sizeof *names, "the labels");
  for (size_t c = 0; c < classes; c++) {
    if (counts[c] == 1) names[count++] = tx_text_of(set->split.names[c]);
  }
  tx_buffer list = {0};
  tx_show_names(names, count, 300, &list);
  if (count > 0 && list.data) {
    tx_watch_note(t->watch, "label%s of a single training row, from which little can be learnt: %s",
                  count == 1 ? "" : "s", list.data);
  }
  tx_buffer_free(&list);
  tx_free(names);
  return TX_OK;
}

static void note_shared(const tx_training *t, const tx_label_set *set) {
  int64_t shared = set->split.shared, count = set->split.validation.count;
  if (shared == 0) return;
  tx_watch_note(t->watch,
                "%" PRId64 " of %" PRId64 " validation text%s %s in the training rows too, which "
                "flatters the figures",
                shared, count, count == 1 ? "" : "s", shared == 1 ? "stands" : "stand");
}

/* The weights that make every label count the same: rows / (labels * rows of the label). */
static tx_status weigh_classes(const tx_training *t, tx_label_set *set, tx_error *error) {
  int classes = set->split.classes;
  const tx_labelled *rows = &set->split.train;
  int64_t *counts = tx_alloc_zero((size_t)classes, sizeof *counts);
  set->class_weights = tx_alloc_array((size_t)classes, sizeof *set->class_weights);
  if (!counts || !set->class_weights) {
    tx_free(counts);
    return tx_fail_memory(error, (uint64_t)classes * 8, "class weights");
  }
  for (int64_t i = 0; i < rows->count; i++) counts[rows->labels[i]]++;
  for (int c = 0; c < classes; c++) {
    if (counts[c] > counts[set->majority]) set->majority = c;
    double share = (double)classes * (double)(counts[c] ? counts[c] : 1);
    set->class_weights[c] = (double)rows->count / share;
  }
  tx_status status = note_single_labels(t, set, counts, error);
  tx_free(counts);
  return status;
}

const double *tx_label_set_weights(const tx_training *t, const tx_label_set *set) {
  return t->options->class_weights == TX_CLASS_WEIGHTS_BALANCED ? set->class_weights : NULL;
}

static tx_status train_baselines(tx_training *t, tx_label_set *set, tx_error *error) {
  const tx_labelled *train = &set->split.train, *validation = &set->split.validation;
  int classes = set->split.classes;
  tx_linear_options options = tx_linear_defaults();
  options.seed = t->options->seed;
  options.memo = t->memo;
  TX_TRY(tx_linear_train(train->texts, train->labels, train->count, classes, options, &set->linear,
                         t->watch, error));
  float *probabilities = tx_alloc_array((size_t)(validation->count * classes), sizeof(float));
  if (!probabilities) return tx_fail_memory(error, (uint64_t)validation->count * 4, "scores");
  set->linear_scores = probabilities;
  tx_status status = set->linear->score(set->linear, validation->texts, (size_t)validation->count,
                                        probabilities, NULL, t->watch, error);
  int64_t linear = 0, majority = 0;
  for (int64_t i = 0; status == TX_OK && i < validation->count; i++) {
    linear += tx_top_label(probabilities + i * classes, classes) == validation->labels[i];
    majority += set->majority == validation->labels[i];
  }
  set->linear_accuracy = (double)linear / (double)validation->count;
  set->majority_accuracy = (double)majority / (double)validation->count;
  return status;
}

tx_status tx_label_set_read(tx_training *t, tx_label_set *set, const char *data,
                            const char *validation, tx_error *error) {
  const tx_train_options *o = t->options;
  TX_TRY(tx_partition_read(data, validation, o->table, o->seed, &set->split, error));
  tx_dataset_note(set->split.train_table, data, t->watch);
  if (validation) tx_dataset_note(set->split.validation_table, validation, t->watch);
  note_shared(t, set);
  TX_TRY(weigh_classes(t, set, error));
  TX_TRY(encode_rows(t, &set->split.train, &set->train, error));
  TX_TRY(encode_rows(t, &set->split.validation, &set->validation, error));
  set->tokens = set->train.tokens.offsets[set->split.train.count];
  set->cut = set->train.tokens.cut + set->validation.tokens.cut;
  if (set->cut) {
    tx_watch_note(t->watch, "%" PRId64 " text%s longer than %" PRId64 " tokens and %s cut",
                  set->cut, set->cut == 1 ? " is" : "s are", t->max_tokens,
                  set->cut == 1 ? "was" : "were");
  }
  return train_baselines(t, set, error);
}

/* ---- the trunk --------------------------------------------------------- */

static tx_status recall(tx_training *t, tx_rows_of_states *rows, tx_trunk_want want,
                        tx_states *states, tx_error *error) {
  double start = tx_seconds();
  tx_sequences sequences = {rows->tokens.count, rows->tokens.ids, rows->tokens.offsets};
  const int64_t *offsets = want.kind == TX_TRUNK_TOKENS ? rows->tokens.offsets : rows->singles;
  tx_status status = tx_trunk_recall(&t->trunk, &t->pass, &sequences, offsets, want, states,
                                     t->watch, error);
  t->report->trunk_seconds += tx_seconds() - start;
  if (status == TX_OK && states->in_file) {
    tx_watch_note(t->watch, "the trunk's states are %.1f GB: they are kept in a temporary file",
                  (double)states->bytes / 1e9);
  }
  return status;
}

/* For both tables; then the model's weights are let go. */
static tx_status recall_both(tx_training *t, tx_label_set *set, tx_trunk_want want,
                             tx_error *error) {
  bool probe = want.kind == TX_TRUNK_PROBE;
  tx_states *train = probe ? &set->train.probes : &set->train.states;
  tx_states *validation = probe ? &set->validation.probes : &set->validation.states;
  TX_TRY(recall(t, &set->train, want, train, error));
  TX_TRY(recall(t, &set->validation, want, validation, error));
  tx_model_unload(t->model, 0, t->facts->blocks);
  return TX_OK;
}

/* ---- the depth --------------------------------------------------------- */

static tx_status choose_depth(tx_training *t, tx_label_set *set, tx_error *error) {
  const tx_train_options *o = t->options;
  int highest = o->depth > 0 ? o->depth : o->max_depth > 0 ? o->max_depth : (int)t->facts->blocks;
  tx_depth_options options = {.lowest = o->depth > 0 ? o->depth : 0,
                              .highest = highest,
                              .pooling = o->pooling,
                              .folds = FOLDS,
                              .seed = o->seed,
                              .class_weights = tx_label_set_weights(t, set),
                              .memo = t->memo};
  TX_TRY(recall_both(t, set, (tx_trunk_want){TX_TRUNK_PROBE, highest, TX_POOLING_LAST_MEAN}, error));
  size_t room = 3 * (size_t)(options.highest - options.lowest + 1);
  set->depths = tx_alloc_array(room, sizeof *set->depths);
  if (!set->depths) return tx_fail_memory(error, room * sizeof *set->depths, "the depths");
  const tx_labelled *rows = &set->split.train;
  TX_TRY(tx_depth_choose(&set->train.probes, t->facts->width, rows->labels, rows->hashes,
                         set->split.classes, options, set->depths, &set->depth_count, t->watch,
                         error));
  for (int i = 0; i < set->depth_count; i++) {
    if (!set->depths[i].chosen) continue;
    set->depth = set->depths[i].depth;
    set->pooling = set->depths[i].pooling;
    tx_watch_note(t->watch, "depth: %" PRId64 " of %" PRId64
                  " blocks, pooling %s, cross-validated accuracy %.4f", set->depth,
                  t->facts->blocks, tx_pooling_name(set->pooling), set->depths[i].accuracy);
  }
  return TX_OK;
}

/* The chosen columns of the probes become the states; the probes are let go. */
static tx_status take_features(const tx_training *t, tx_label_set *set, tx_rows_of_states *rows,
                               tx_error *error) {
  int64_t width = tx_pool_parts(set->pooling) * t->facts->width;
  int64_t from = set->depth * TX_PROBE_PARTS * t->facts->width;
  if (set->pooling == TX_POOLING_MEAN) from += t->facts->width;
  TX_TRY(tx_states_new(rows->tokens.count, rows->singles, width, UINT64_MAX, NULL, &rows->states,
                       error));
  for (int64_t i = 0; i < rows->tokens.count; i++) {
    memcpy(rows->states.rows + i * width, rows->probes.rows + i * rows->probes.width + from,
           (size_t)width * sizeof(float));
  }
  tx_states_free(&rows->probes);
  return TX_OK;
}

/* ---- the trained end ---------------------------------------------------- */

/* The tail of the set's depth, blocks and pooling.  What it borrows of the model stays
 * loaded until the set is trained. */
static tx_status new_tail(tx_training *t, tx_label_set *set, tx_error *error) {
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
  tx_head_options options = {t->options->penalty, FOLDS, t->options->seed,
                             tx_label_set_weights(t, set), t->memo};
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

/* Where all blocks are trained, what they give before the first step is the model's own, which
 * an earlier run may have left. */
static tx_status recall_start(tx_training *t, tx_label_set *set, tx_states *pooled,
                              tx_error *error) {
  bool all = set->blocks > 0 && set->blocks == set->depth;
  if (!all || t->options->head_solver != TX_HEAD_CONVEX) return TX_OK;
  bool learned = set->pooling == TX_POOLING_ATTENTION; /* a mean at first */
  tx_trunk_want want = {TX_TRUNK_POOLED, set->depth, learned ? TX_POOLING_MEAN : set->pooling};
  TX_TRY(recall(t, &set->train, want, pooled, error));
  tx_model_unload(t->model, 0, t->facts->blocks);
  return TX_OK;
}

/* The head on what the untrained blocks give: a head alone has it as its states; or it is
 * `pooled` (rows, F) already; or NULL. */
static tx_status start_head(tx_training *t, tx_label_set *set, const float *pooled,
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

static tx_status take_gradient_steps(tx_training *t, tx_label_set *set, tx_error *error) {
  const tx_train_options *o = t->options;
  bool trial = o->method == TX_METHOD_AUTO; /* most are not kept: give up soon */
  tx_fit_options options = tx_training_steps(t);
  options.epochs = o->epochs > 0 ? o->epochs : trial ? 2 : 5;
  options.patience = o->patience > 0 ? o->patience : trial ? 1 : 2;
  tx_tail_lesson lesson = {.tail = set->tail,
                           .pass = &t->pass,
                           .train = &set->train.states,
                           .held_out = &set->validation.states,
                           .truth = {set->split.train.labels, NULL, tx_label_set_weights(t, set)},
                           .held_out_truth = {set->split.validation.labels, NULL, NULL}};
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

/* ---- validation --------------------------------------------------------- */

/* probabilities (validation rows, classes). */
static tx_status score_rows(tx_training *t, const tx_label_set *set, tx_tail *tail,
                            float *probabilities, tx_error *error) {
  int64_t width = tx_tail_width(tail), classes = set->split.classes;
  int64_t count = set->split.validation.count;
  float *features = tx_alloc_array((size_t)(count * (width + classes)), sizeof(float));
  float *head = tx_alloc_array(tx_packed_size(width, classes), sizeof(float));
  tx_status status = features && head ? TX_OK : tx_fail_memory(error, (uint64_t)count, "scores");
  tx_choice all = {NULL, 0};
  if (status == TX_OK) {
    status = tx_tail_features(tail, &t->pass, &set->validation.states, all, features, t->watch,
                              error);
  }
  if (status == TX_OK) {
    float *logits = features + count * width;
    tx_pack(tx_tail_head_weight(tail), 1, width, width, classes, head);
    tx_product product = {.kernels = t->pass.kernels,
                          .rows = count,
                          .depth = width,
                          .columns = classes,
                          .x = features,
                          .x_row = width,
                          .x_step = 1,
                          .panels = head,
                          .bias = tx_tail_head_bias(tail),
                          .y = logits,
                          .y_row = classes};
    tx_product_run(&product);
    tx_softmax(logits, count, (int)classes, probabilities);
  }
  tx_free(features), tx_free(head);
  return status;
}

static void take_scores(tx_label_set *set, const float *probabilities) {
  const tx_labelled *rows = &set->split.validation;
  tx_metrics metrics;
  tx_metrics_compute(probabilities, rows->labels, rows->count, set->split.classes, &metrics, NULL,
                     NULL);
  tx_interval interval = tx_wilson(metrics.correct, rows->count);
  set->val_accuracy = metrics.accuracy;
  set->val_lo = interval.lo, set->val_hi = interval.hi;
  set->val_macro_f1 = metrics.macro_f1, set->val_nll = metrics.nll;
}

/* ---- the methods -------------------------------------------------------- */

/* How many blocks the method trains of those that are run. */
static int64_t blocks_of(const tx_train_options *o, int64_t depth) {
  if (o->method == TX_METHOD_HEAD) return 0;
  if (o->blocks > 0) return o->blocks;
  return o->method == TX_METHOD_LAST_BLOCK ? 1 : depth;
}

/* Which tokens stand in the rows, and how long the longest text is. */
static void mark_tokens(const tx_rows_of_states *rows, uint8_t *seen, int64_t *longest) {
  const tx_encoded *tokens = &rows->tokens;
  for (int64_t i = 0; i < tokens->offsets[tokens->count]; i++) seen[tokens->ids[i]] = 1;
  for (int64_t i = 0; i < tokens->count; i++) {
    int64_t size = tokens->offsets[i + 1] - tokens->offsets[i];
    *longest = size > *longest ? size : *longest;
  }
}

/* Of embeddings that are trained: whose. */
static tx_status choose_ids(const tx_training *t, tx_label_set *set, tx_error *error) {
  size_t vocabulary = (size_t)t->facts->vocabulary;
  uint8_t *seen = tx_alloc_zero(vocabulary, 1);
  set->ids = tx_alloc_array(vocabulary, sizeof *set->ids);
  if (!seen || !set->ids) {
    tx_free(seen);
    return tx_fail_memory(error, vocabulary * 5, "the tokens");
  }
  mark_tokens(&set->train, seen, &set->positions);
  mark_tokens(&set->validation, seen, &set->positions);
  for (size_t id = 0; id < vocabulary; id++) {
    if (seen[id]) set->ids[set->id_count++] = (int32_t)id;
  }
  tx_free(seen);
  return TX_OK;
}

/* In place of states, where the first block is trained. */
static void take_ids(const tx_training *t, tx_label_set *set) {
  tx_rows_of_states *both[] = {&set->train, &set->validation};
  for (int i = 0; i < 2; i++) {
    const tx_encoded *tokens = &both[i]->tokens;
    both[i]->states =
        tx_states_of_ids(tokens->count, tokens->offsets, t->facts->width, tokens->ids);
  }
}

/* A head, or blocks too, at one depth and pooling that were asked for. */
static tx_status train_as_asked(tx_training *t, tx_label_set *set, float *probabilities,
                                tx_error *error) {
  const tx_train_options *o = t->options;
  set->method = o->method;
  set->depth = o->depth > 0 ? o->depth : t->facts->blocks;
  set->pooling = o->pooling == TX_POOLING_AUTO ? TX_POOLING_LAST : o->pooling;
  set->blocks = blocks_of(o, set->depth);
  if (o->attention != TX_ATTENTION_CAUSAL) {
    bool all = o->attention == TX_ATTENTION_TWO_WAY;
    tx_model_set_two_way(t->model, all ? 0 : set->depth - set->blocks);
  }
  tx_trunk_want want = {TX_TRUNK_POOLED, set->depth, set->pooling};
  if (set->blocks > 0) want = (tx_trunk_want){TX_TRUNK_TOKENS, set->depth - set->blocks, set->pooling};
  if (o->method == TX_METHOD_FULL) TX_TRY(choose_ids(t, set, error));
  if (set->blocks > 0 && set->blocks == set->depth) {
    take_ids(t, set);
  } else {
    TX_TRY(recall_both(t, set, want, error));
  }
  tx_states pooled = {0};
  TX_TRY(recall_start(t, set, &pooled, error));
  tx_status status = new_tail(t, set, error);
  if (status == TX_OK) status = start_head(t, set, pooled.rows, error);
  tx_states_free(&pooled);
  TX_TRY(status);
  if (set->blocks > 0 || o->head_solver == TX_HEAD_SGD) TX_TRY(take_gradient_steps(t, set, error));
  return score_rows(t, set, set->tail, probabilities, error);
}

/* Even if every error of the head went, six rows are the fewest from which a
 * paired test (McNemar's, two-sided) sees a difference: 2 / 2^6 is below 0.05. */
enum { FEWEST_ERRORS = 6 };

static bool worth_trying(const tx_training *t, const tx_label_set *set, const float *head) {
  const tx_labelled *rows = &set->split.validation;
  tx_metrics metrics;
  tx_metrics_compute(head, rows->labels, rows->count, set->split.classes, &metrics, NULL, NULL);
  int64_t errors = rows->count - metrics.correct;
  if (errors >= FEWEST_ERRORS) return true;
  tx_watch_note(t->watch,
                "last block: not trained, the head errs on %" PRId64 " of %" PRId64
                " validation texts, too few to see a gain in",
                errors, rows->count);
  return false;
}

/* Whether `new` is better than `old` (rows, classes) on the validation rows: the
 * mean loss is lower, with a p-value below `level`, and no more answers are wrong. */
static tx_status is_better(const tx_training *t, const tx_label_set *set, const char *what,
                           const float *new, const float *old, double level, bool *better,
                           tx_error *error) {
  const tx_labelled *rows = &set->split.validation;
  int classes = set->split.classes;
  double *gains = tx_alloc_array((size_t)rows->count, sizeof *gains);
  if (!gains) return tx_fail_memory(error, (uint64_t)rows->count * 8, "the comparison");
  tx_metrics of_new, of_old;
  tx_metrics_compute(new, rows->labels, rows->count, classes, &of_new, NULL, NULL);
  tx_metrics_compute(old, rows->labels, rows->count, classes, &of_old, NULL, NULL);
  for (int64_t i = 0; i < rows->count; i++) {
    int64_t at = i * classes + rows->labels[i];
    gains[i] = tx_row_loss(old[at]) - tx_row_loss(new[at]);
  }
  double p = tx_mean_above_zero(gains, rows->count);
  tx_free(gains);
  *better = p < level && of_new.correct >= of_old.correct;
  tx_watch_note(t->watch,
                "%s: validation loss %.4f, accuracy %.4f; without %.4f, %.4f; p %.2g: %s", what,
                of_new.nll, of_new.accuracy, of_old.nll, of_old.accuracy, p,
                *better ? "kept" : "not kept");
  return TX_OK;
}

/* The words beside the model, half of each in the answers: two models that err on
 * different texts.  It costs next to nothing and has nothing to tune, so the lower
 * validation loss decides.  `head` (rows, classes) becomes the blend then. */
static tx_status try_words(const tx_training *t, tx_label_set *set, float *head, tx_error *error) {
  int64_t rows = set->split.validation.count;
  int classes = set->split.classes;
  size_t floats = (size_t)(rows * classes);
  float *blended = tx_alloc_array(floats, sizeof *blended);
  bool better = false;
  if (!blended) return tx_fail_memory(error, floats * 4, "scores");
  memcpy(blended, head, floats * sizeof *head);
  tx_blend(blended, set->linear_scores, rows, classes, 0.5);
  tx_status status = is_better(t, set, "words", blended, head, 1.0, &better, error);
  if (status == TX_OK && better) {
    memcpy(head, blended, floats * sizeof *head);
    set->words = 0.5;
  }
  tx_free(blended);
  return status;
}

/* The last block of the cut model, from the head as it is; `head` (rows, classes)
 * are its probabilities, replaced where the block is kept. */
static tx_status try_last_block(tx_training *t, tx_label_set *set, float *head, tx_error *error) {
  int classes = set->split.classes;
  size_t floats = (size_t)(set->split.validation.count * classes);
  tx_tail *alone = set->tail;
  bool better = false;
  tx_states_free(&set->train.states), tx_states_free(&set->validation.states);
  TX_TRY(recall_both(t, set, (tx_trunk_want){TX_TRUNK_TOKENS, set->depth - 1, set->pooling}, error));
  float *tuned = tx_alloc_array(floats, sizeof *tuned);
  if (!tuned) return tx_fail_memory(error, floats * 4, "scores");
  set->tail = NULL;
  set->blocks = 1;
  tx_status status = new_tail(t, set, error);
  if (status == TX_OK) {
    tx_tail_set_head(set->tail, tx_tail_head_weight(alone), tx_tail_head_bias(alone));
    status = take_gradient_steps(t, set, error);
  }
  if (status == TX_OK && set->best_epoch > 0) {
    status = score_rows(t, set, set->tail, tuned, error);
    if (status == TX_OK && set->words > 0) {
      tx_blend(tuned, set->linear_scores, set->split.validation.count, classes, set->words);
    }
    if (status == TX_OK) {
      /* The best of the epochs was taken on the same rows (Bonferroni). */
      status = is_better(t, set, "last block", tuned, head, 0.05 / set->epochs, &better, error);
    }
  } else if (status == TX_OK) {
    tx_watch_note(t->watch, "last block: no epoch has a lower validation loss than the head alone");
  }
  if (status == TX_OK && better) {
    memcpy(head, tuned, floats * sizeof *head);
    set->method = TX_METHOD_LAST_BLOCK;
    tx_tail_free(alone);
  } else {
    tx_tail_free(set->tail);
    set->tail = alone;
    set->blocks = 0;
    set->learning_rate = 0, set->epochs = set->best_epoch = 0;
  }
  tx_free(tuned);
  return status;
}

static tx_status train_by_choice(tx_training *t, tx_label_set *set, bool frozen,
                                 float *probabilities, tx_error *error) {
  set->method = TX_METHOD_HEAD;
  TX_TRY(choose_depth(t, set, error));
  TX_TRY(take_features(t, set, &set->train, error));
  TX_TRY(take_features(t, set, &set->validation, error));
  TX_TRY(new_tail(t, set, error));
  TX_TRY(start_head(t, set, NULL, error));
  TX_TRY(score_rows(t, set, set->tail, probabilities, error));
  if (!frozen) TX_TRY(try_words(t, set, probabilities, error));
  if (frozen || set->depth == 0 || !worth_trying(t, set, probabilities)) return TX_OK;
  return try_last_block(t, set, probabilities, error);
}

tx_status tx_label_set_train(tx_training *t, tx_label_set *set, bool frozen, tx_error *error) {
  size_t floats = (size_t)(set->split.validation.count * set->split.classes);
  float *probabilities = tx_alloc_array(floats, sizeof *probabilities);
  if (!probabilities) return tx_fail_memory(error, floats * 4, "scores");
  tx_status status = t->options->method == TX_METHOD_AUTO
                         ? train_by_choice(t, set, frozen, probabilities, error)
                         : train_as_asked(t, set, probabilities, error);
  if (status == TX_OK) take_scores(set, probabilities);
  set->scores = probabilities;
  return status;
}

/* ---- int8 afterwards ----------------------------------------------------- */

static void compare_answers(const tx_training *t, const tx_label_set *set, const float *bytes,
                            bool *accepted) {
  const tx_labelled *rows = &set->split.validation;
  int classes = set->split.classes;
  int64_t changed = 0, right[2] = {0, 0};
  for (int64_t i = 0; i < rows->count; i++) {
    int32_t before = tx_top_label(set->scores + i * classes, classes);
    int32_t after = tx_top_label(bytes + i * classes, classes);
    changed += before != after;
    right[0] += before == rows->labels[i], right[1] += after == rows->labels[i];
  }
  double points = 100 * (double)(right[0] - right[1]) / (double)rows->count;
  *accepted = points <= TX_TOLERANCE;
  tx_watch_note(t->watch,
                "int8: %" PRId64 " of %" PRId64
                " answers to validation texts change, %+.2f points of accuracy: %s",
                changed, rows->count, right[0] == right[1] ? 0 : -points,
                *accepted ? "kept" : "not kept");
}

tx_status tx_label_set_requantise(tx_training *t, tx_label_set *set, bool *accepted,
                                  tx_error *error) {
  size_t floats = (size_t)(set->split.validation.count * set->split.classes);
  tx_trunk_want want = {TX_TRUNK_POOLED, set->depth, set->pooling};
  if (set->blocks > 0) want = (tx_trunk_want){TX_TRUNK_TOKENS, set->depth - set->blocks, set->pooling};
  tx_states_free(&set->validation.states);
  TX_TRY(recall(t, &set->validation, want, &set->validation.states, error));
  float *bytes = tx_alloc_array(floats, sizeof *bytes);
  if (!bytes) return tx_fail_memory(error, floats * 4, "scores");
  tx_status status = score_rows(t, set, set->tail, bytes, error);
  if (status == TX_OK) {
    if (set->words > 0) {
      tx_blend(bytes, set->linear_scores, set->split.validation.count, set->split.classes, set->words);
    }
    compare_answers(t, set, bytes, accepted);
    memcpy(set->scores, bytes, floats * sizeof *bytes);
  }
  tx_free(bytes);
  tx_states_free(&set->validation.states);
  return status;
}

void tx_label_set_take(tx_label_set *set) { take_scores(set, set->scores); }

/* ---- the end ------------------------------------------------------------ */

static void free_rows(tx_rows_of_states *rows) {
  tx_states_free(&rows->probes);
  tx_states_free(&rows->states);
  tx_free(rows->singles);
  tx_encoded_free(&rows->tokens);
}

void tx_label_set_free(tx_label_set *set) {
  tx_tail_free(set->tail);
  tx_free(set->ids);
  tx_scorer_free(set->linear);
  tx_free(set->depths);
  tx_free(set->class_weights);
  tx_free(set->linear_scores);
  tx_free(set->scores);
  free_rows(&set->train);
  free_rows(&set->validation);
  tx_partition_free(&set->split);
  *set = (tx_label_set){0};
}
