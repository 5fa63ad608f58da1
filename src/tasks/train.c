/* tx_train: from two tables and a base model to an artifact.  The order of the
 * steps stands in run(); each step is one function over the same job. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "adapt/fit.h"
#include "adapt/head.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/random.h"
#include "base/watch.h"
#include "formats/artifact.h"
#include "formats/directory.h"
#include "formats/file.h"
#include "formats/hub.h"
#include "kernels/product.h"
#include "score/linear.h"
#include "score/network.h"
#include "tasks/partition.h"
#include "text/encode.h"
#include "text/vocabulary.h"
#include "trust/comparison.h"
#include "trust/metrics.h"

enum { FOLDS = 5 };

typedef struct {
  const tx_train_options *options;
  tx_train_report *report;
  const tx_watch *watch;
  tx_error *error;
  tx_partition split;
  tx_buffer home;
  char model_path[4096];
  tx_model *model;
  tx_tokenizer *tokenizer;
  tx_pass pass;
  const tx_facts *facts;
  char base_sha256[TX_SHA256_HEX];
  int64_t max_tokens;
  tx_encoded train_tokens, validation_tokens;
  int64_t blocks; /* trained by gradients; 0: a head alone */
  tx_states train_states, validation_states;
  int64_t *train_rows, *validation_rows; /* offsets of one state a text, for a head alone */
  tx_tail *tail;
  double *class_weights;
  int32_t majority;
  tx_scorer *linear;
  tx_gguf_writer *writer;
  tx_text *label_names;
  uint64_t *fingerprints;
} job;

tx_train_options tx_train_defaults(void) {
  return (tx_train_options){.table = tx_table_defaults(),
                            .method = TX_METHOD_HEAD,
                            .pooling = TX_POOLING_LAST,
                            .head_solver = TX_HEAD_CONVEX,
                            .blocks = 1,
                            .epochs = 5,
                            .batch = 8,
                            .accumulate = 1,
                            .patience = 2,
                            .weight_decay = 0.1,
                            .warm_up = 0.05,
                            .clip = 1,
                            .schedule = TX_SCHEDULE_COSINE,
                            .cache_mb = 2048};
}

/* ---- options ----------------------------------------------------------- */

static tx_status check_range(const char *name, double value, double low, double high,
                             tx_error *error) {
  if (value >= low && value <= high) return TX_OK;
  return tx_fail(error, TX_ERROR_ARGUMENT, "%s is %g; it must lie between %g and %g", name, value,
                 low, high);
}

static tx_status check_options(const tx_train_options *o, tx_error *error) {
  if (!o->model || !o->data || !o->out) {
    return tx_fail(error, TX_ERROR_ARGUMENT,
                   "training needs a model, a training table and an output");
  }
  TX_TRY(tx_kernels_check(error));
  TX_TRY(check_range("method", (int)o->method, 0, TX_METHOD_LAST_BLOCK, error));
  TX_TRY(check_range("pooling", (int)o->pooling, 0, TX_POOLING_FIRST, error));
  TX_TRY(check_range("head solver", (int)o->head_solver, 0, TX_HEAD_SGD, error));
  TX_TRY(check_range("schedule", (int)o->schedule, 0, TX_SCHEDULE_COSINE, error));
  TX_TRY(check_range("class weights", (int)o->class_weights, 0, TX_CLASS_WEIGHTS_BALANCED, error));
  TX_TRY(check_range("blocks", o->blocks, 1, TX_MAX_BLOCKS, error));
  TX_TRY(check_range("epochs", o->epochs, 1, 1e6, error));
  TX_TRY(check_range("batch", o->batch, 1, 1 << 16, error));
  TX_TRY(check_range("accumulate", o->accumulate, 1, 1 << 16, error));
  TX_TRY(check_range("patience", o->patience, 0, 1e6, error));
  TX_TRY(check_range("learning rate", o->learning_rate, 0, 10, error));
  TX_TRY(check_range("weight decay", o->weight_decay, 0, 10, error));
  TX_TRY(check_range("warm-up", o->warm_up, 0, 1, error));
  TX_TRY(check_range("clip", o->clip, 0, 1e9, error));
  TX_TRY(check_range("penalty", o->penalty, 0, 1e6, error));
  TX_TRY(check_range("max tokens", (double)o->max_tokens, 0, 1e9, error));
  return check_range("cache", (double)o->cache_mb, 0, 1 << 24, error);
}

/* ---- opening ----------------------------------------------------------- */

/* Whatever the artifact cannot be written for is found before the work; and
 * what it would replace must not be what it is made of. */
static tx_status check_output(job *j) {
  const tx_train_options *o = j->options;
  char known[65];
  TX_TRY(tx_model_locate(o->model, o->home, j->model_path, known, j->error));
  const char *const inputs[] = {j->model_path, o->data, o->validation ? o->validation : "-"};
  static const char *const names[] = {"model", "training table", "validation table"};
  for (int i = 0; i < 3; i++) {
    if (strcmp(inputs[i], "-") == 0 || !tx_file_same(inputs[i], o->out)) continue;
    return tx_fail(j->error, TX_ERROR_ARGUMENT,
                   "the output %s is the file of the %s; name another output", o->out, names[i]);
  }
  tx_writer *writer;
  TX_TRY(tx_writer_open(o->out, &writer, j->error));
  tx_writer_cancel(writer);
  return TX_OK;
}

static tx_status open_model(job *j) {
  const tx_train_options *o = j->options;
  TX_TRY(tx_model_open(j->model_path, NULL, &j->model, j->error));
  j->facts = tx_model_facts(j->model);
  uint64_t size;
  const unsigned char *bytes = tx_gguf_bytes(tx_model_gguf(j->model), &size);
  if (!tx_sha256_bytes(bytes, size, j->base_sha256)) return tx_fail_memory(j->error, 256, "a hash");
  TX_TRY(tx_tokenizer_from_gguf(tx_model_gguf(j->model), &j->tokenizer, j->error));
  TX_TRY(tx_pass_open(j->facts, &j->pass, j->error));
  bool gradients = o->method == TX_METHOD_LAST_BLOCK;
  if (gradients && o->blocks > j->facts->blocks) {
    return tx_fail(j->error, TX_ERROR_ARGUMENT, "--blocks is %d, but %s has %" PRId64 " blocks",
                   o->blocks, o->model, j->facts->blocks);
  }
  j->blocks = gradients ? o->blocks : 0;
  j->report->depth = (int)j->facts->blocks;
  return TX_OK;
}

static tx_status encode_rows(job *j) {
  int64_t wanted = j->options->max_tokens;
  j->max_tokens = wanted > 0 && wanted < j->facts->context ? wanted : j->facts->context;
  const tx_labelled *train = &j->split.train, *validation = &j->split.validation;
  TX_TRY(tx_encode(j->tokenizer, train->texts, train->count, j->max_tokens, &j->train_tokens,
                   j->error));
  TX_TRY(tx_encode(j->tokenizer, validation->texts, validation->count, j->max_tokens,
                   &j->validation_tokens, j->error));
  j->report->train_rows = train->count;
  j->report->val_rows = validation->count;
  j->report->tokens = j->train_tokens.offsets[train->count];
  j->report->cut = j->train_tokens.cut + j->validation_tokens.cut;
  if (j->report->cut) {
    tx_watch_note(j->watch, "%" PRId64 " texts are longer than %" PRId64 " tokens and were cut",
                  j->report->cut, j->max_tokens);
  }
  return TX_OK;
}

/* The weights that make every label count the same: rows / (labels * rows of the label). */
static tx_status weigh_classes(job *j) {
  int classes = j->split.classes;
  const tx_labelled *rows = &j->split.train;
  int64_t *counts = tx_alloc_zero((size_t)classes, sizeof *counts);
  j->class_weights = tx_alloc_array((size_t)classes, sizeof *j->class_weights);
  if (!counts || !j->class_weights) {
    tx_free(counts);
    return tx_fail_memory(j->error, (uint64_t)classes * 8, "class weights");
  }
  for (int64_t i = 0; i < rows->count; i++) counts[rows->labels[i]]++;
  for (int c = 0; c < classes; c++) {
    if (counts[c] > counts[j->majority]) j->majority = c;
    double share = (double)classes * (double)(counts[c] ? counts[c] : 1);
    j->class_weights[c] = (double)rows->count / share;
  }
  tx_free(counts);
  return TX_OK;
}

static const double *class_weights(const job *j) {
  return j->options->class_weights == TX_CLASS_WEIGHTS_BALANCED ? j->class_weights : NULL;
}

/* ---- baselines --------------------------------------------------------- */

static tx_status train_baselines(job *j) {
  const tx_labelled *train = &j->split.train, *validation = &j->split.validation;
  int classes = j->split.classes;
  tx_linear_options options = tx_linear_defaults();
  options.seed = j->options->seed;
  TX_TRY(tx_linear_train(train->texts, train->labels, train->count, classes, options, &j->linear,
                         j->watch, j->error));
  float *probabilities = tx_alloc_array((size_t)(validation->count * classes), sizeof(float));
  if (!probabilities) return tx_fail_memory(j->error, (uint64_t)validation->count * 4, "scores");
  tx_status status = j->linear->score(j->linear, validation->texts, (size_t)validation->count,
                                      probabilities, NULL, j->watch, j->error);
  int64_t linear = 0, majority = 0;
  for (int64_t i = 0; status == TX_OK && i < validation->count; i++) {
    linear += tx_top_label(probabilities + i * classes, classes) == validation->labels[i];
    majority += j->majority == validation->labels[i];
  }
  tx_free(probabilities);
  j->report->linear_accuracy = (double)linear / (double)validation->count;
  j->report->majority_accuracy = (double)majority / (double)validation->count;
  return status;
}

/* ---- states ------------------------------------------------------------ */

/* A file for what does not fit goes to the home, which may not be there yet:
 * a model given by its path needs none. */
static tx_status new_states(job *j, int64_t count, const int64_t *offsets, tx_states *states) {
  uint64_t budget = (uint64_t)j->options->cache_mb << 20;
  int64_t width = j->facts->width;
  if ((double)offsets[count] * (double)width * sizeof(float) > (double)budget && !j->home.size) {
    TX_TRY(tx_home(j->options->home, &j->home, j->error));
    TX_TRY(tx_directory_make(j->home.data, j->error));
  }
  return tx_states_new(count, offsets, width, budget, j->home.data, states, j->error);
}

static tx_status make_states(job *j, const tx_encoded *tokens, int64_t **rows, tx_states *states) {
  const int64_t *offsets = tokens->offsets;
  if (j->blocks == 0) { /* one pooled state a text */
    *rows = tx_alloc_array((size_t)tokens->count + 1, sizeof **rows);
    if (!*rows) return tx_fail_memory(j->error, (uint64_t)tokens->count * 8, "the states");
    for (int64_t i = 0; i <= tokens->count; i++) (*rows)[i] = i;
    offsets = *rows;
  }
  TX_TRY(new_states(j, tokens->count, offsets, states));
  tx_sequences sequences = {tokens->count, tokens->ids, tokens->offsets};
  if (j->blocks == 0) {
    return tx_trunk_features(j->model, &j->pass, &sequences, j->facts->blocks, j->options->pooling,
                             TX_BATCH_TOKENS, states->rows, "trunk", j->watch, j->error);
  }
  return tx_trunk_run(j->model, &j->pass, &sequences, j->facts->blocks - j->blocks, TX_BATCH_TOKENS,
                      states->rows, "trunk", j->watch, j->error);
}

/* The trunk runs once; then its weights are let go. */
static tx_status run_trunk(job *j) {
  double start = tx_seconds();
  TX_TRY(tx_model_load(j->model, 0, j->facts->blocks - j->blocks, j->error));
  TX_TRY(make_states(j, &j->train_tokens, &j->train_rows, &j->train_states));
  TX_TRY(make_states(j, &j->validation_tokens, &j->validation_rows, &j->validation_states));
  tx_model_unload(j->model, 0, j->facts->blocks);
  j->report->trunk_seconds = tx_seconds() - start;
  if (j->train_states.in_file) {
    tx_watch_note(j->watch, "the trunk's states are %.1f GB: they are kept in a temporary file",
                  (double)j->train_states.bytes / 1e9);
  }
  return TX_OK;
}

/* ---- the head and the blocks ------------------------------------------- */

static tx_status solve_head(job *j, const float *features, float *weight, float *bias) {
  const tx_labelled *rows = &j->split.train;
  tx_head_options options = {j->options->penalty, FOLDS, j->options->seed, class_weights(j)};
  return tx_head_fit(features, rows->labels, rows->hashes, rows->count, j->facts->width,
                     j->split.classes, options, weight, bias, &j->report->penalty, j->watch,
                     j->error);
}

/* As a new linear layer starts in the book's recipe: uniform within 1 / sqrt(C). */
static void random_head(const job *j, float *weight, float *bias) {
  tx_random random = tx_random_seed(j->options->seed);
  double bound = 1 / sqrt((double)j->facts->width);
  for (int64_t i = 0; i < j->split.classes * j->facts->width; i++) {
    weight[i] = (float)(bound * (2 * tx_random_uniform(&random) - 1));
  }
  for (int c = 0; c < j->split.classes; c++)
    bias[c] = (float)(bound * (2 * tx_random_uniform(&random) - 1));
}

static tx_status start_head(job *j) {
  int64_t width = j->facts->width, classes = j->split.classes, rows = j->split.train.count;
  bool convex = j->options->head_solver == TX_HEAD_CONVEX;
  size_t floats = (size_t)(classes * (width + 1) + (convex && j->blocks ? rows * width : 0));
  float *weight = tx_alloc_array(floats, sizeof(float));
  if (!weight) return tx_fail_memory(j->error, floats * 4, "the head");
  float *bias = weight + classes * width, *features = bias + classes;
  tx_status status = TX_OK;
  if (!convex) {
    random_head(j, weight, bias);
  } else if (j->blocks == 0) {
    status = solve_head(j, j->train_states.rows, weight, bias);
  } else {
    tx_choice all = {NULL, 0};
    status =
        tx_tail_features(j->tail, &j->pass, &j->train_states, all, features, j->watch, j->error);
    if (status == TX_OK) status = solve_head(j, features, weight, bias);
  }
  if (status == TX_OK) tx_tail_set_head(j->tail, weight, bias);
  tx_free(weight);
  return status;
}

static tx_status take_gradient_steps(job *j) {
  const tx_train_options *o = j->options;
  if (o->method == TX_METHOD_HEAD && o->head_solver == TX_HEAD_CONVEX) return TX_OK;
  tx_fit_options options = {.epochs = o->epochs,
                            .batch = o->batch,
                            .accumulate = o->accumulate,
                            .patience = o->patience,
                            .weight_decay = o->weight_decay,
                            .warm_up = o->warm_up,
                            .clip = o->clip,
                            .schedule = o->schedule,
                            .class_weights = class_weights(j),
                            .seed = o->seed};
  options.learning_rate = o->learning_rate > 0 ? o->learning_rate : j->blocks ? 5e-5 : 1e-3;
  tx_fit_report fit;
  TX_TRY(tx_fit(j->tail, &j->pass, &j->train_states, j->split.train.labels, &j->validation_states,
                j->split.validation.labels, options, &fit, j->watch, j->error));
  j->report->epochs = fit.epochs;
  j->report->best_epoch = fit.best_epoch;
  j->report->learning_rate = options.learning_rate;
  return TX_OK;
}

static tx_status score_validation(job *j) {
  const tx_labelled *rows = &j->split.validation;
  int64_t width = j->facts->width, classes = j->split.classes, count = rows->count;
  float *features = tx_alloc_array((size_t)(count * (width + 2 * classes)), sizeof(float));
  float *head = tx_alloc_array(tx_packed_size(width, classes), sizeof(float));
  tx_status status = features && head ? TX_OK : tx_fail_memory(j->error, (uint64_t)count, "scores");
  float *logits = features + count * width, *probabilities = logits + count * classes;
  if (status == TX_OK) {
    tx_choice all = {NULL, 0};
    status = tx_tail_features(j->tail, &j->pass, &j->validation_states, all, features, j->watch,
                              j->error);
  }
  if (status == TX_OK) {
    tx_pack(tx_tail_head_weight(j->tail), 1, width, width, classes, head);
    tx_product product = {.kernels = j->pass.kernels,
                          .rows = count,
                          .depth = width,
                          .columns = classes,
                          .x = features,
                          .x_row = width,
                          .x_step = 1,
                          .panels = head,
                          .bias = tx_tail_head_bias(j->tail),
                          .y = logits,
                          .y_row = classes};
    tx_product_run(&product);
    tx_softmax(logits, count, (int)classes, probabilities);
    tx_metrics metrics;
    tx_metrics_compute(probabilities, rows->labels, count, (int)classes, &metrics, NULL, NULL);
    tx_interval interval = tx_wilson(metrics.correct, count);
    j->report->val_accuracy = metrics.accuracy;
    j->report->val_lo = interval.lo, j->report->val_hi = interval.hi;
    j->report->val_macro_f1 = metrics.macro_f1, j->report->val_nll = metrics.nll;
  }
  tx_free(features), tx_free(head);
  return status;
}

/* ---- the artifact ------------------------------------------------------ */

static int compare_hashes(const void *a, const void *b) {
  uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
  return (x > y) - (x < y);
}

/* The fingerprints of the training texts, rising, each once. */
static tx_status add_fingerprints(job *j) {
  int64_t count = j->split.train.count, kept = 0;
  j->fingerprints = tx_alloc_array((size_t)count, sizeof *j->fingerprints);
  if (!j->fingerprints) return tx_fail_memory(j->error, (uint64_t)count * 8, "fingerprints");
  memcpy(j->fingerprints, j->split.train.hashes, (size_t)count * sizeof *j->fingerprints);
  qsort(j->fingerprints, (size_t)count, sizeof *j->fingerprints, compare_hashes);
  for (int64_t i = 0; i < count; i++) {
    if (i == 0 || j->fingerprints[i] != j->fingerprints[i - 1]) {
      j->fingerprints[kept++] = j->fingerprints[i];
    }
  }
  tx_gguf_add_tensor(j->writer, "taxon.training.texts", TX_TENSOR_I64, 1, &kept, j->fingerprints);
  return TX_OK;
}

static void add_parameters(job *j) {
  const tx_parameters *set = tx_tail_parameters(j->tail);
  for (int64_t i = 0; i < set->count; i++) {
    const tx_parameter *p = &set->items[i];
    int64_t shape[2] = {p->inputs, p->outputs};
    j->report->trained_parameters += p->outputs * p->inputs;
    tx_gguf_add_tensor(j->writer, p->name, TX_TENSOR_F32, p->outputs > 1 ? 2 : 1, shape, p->value);
  }
}

static void add_facts(job *j) {
  static const char *const methods[] = {"head", "last-block"};
  const tx_train_options *o = j->options;
  const tx_train_report *r = j->report;
  for (int c = 0; c < j->split.classes; c++) j->label_names[c] = tx_text_of(j->split.names[c]);
  const tx_dataset *validation = j->split.validation_table;
  tx_artifact_facts facts = {
      .labels = j->label_names,
      .label_count = (size_t)j->split.classes,
      .method = tx_text_of(methods[o->method]),
      .text_template = tx_text_of("{text}"),
      .pooling = tx_text_of(tx_pooling_name(o->pooling)),
      .depth = r->depth,
      .max_tokens = j->max_tokens,
      .base_name = tx_text_of(o->model),
      .base_sha256 = tx_text_of(j->base_sha256),
      .blocks_trained = j->blocks,
      .train_rows = r->train_rows,
      .val_rows = r->val_rows,
      .tokens = r->tokens,
      .cut = r->cut,
      .data_sha256 = tx_text_of(j->split.train_table->sha256),
      .validation_sha256 = tx_text_of(validation ? validation->sha256 : ""),
      .seed = (int64_t)o->seed,
      .epochs = r->epochs,
      .best_epoch = r->best_epoch,
      .batch = o->batch,
      .accumulate = o->accumulate,
      .trained_parameters = r->trained_parameters,
      .learning_rate = r->learning_rate,
      .weight_decay = o->weight_decay,
      .penalty = r->penalty,
      .head_solver = tx_text_of(o->head_solver == TX_HEAD_CONVEX ? "convex" : "sgd"),
      .class_weights = tx_text_of(class_weights(j) ? "balanced" : "none"),
      .schedule = tx_text_of(o->schedule == TX_SCHEDULE_COSINE ? "cosine" : "constant"),
      .command = tx_text_of(o->command ? o->command : ""),
      .version = tx_text_of(tx_version()),
      .val_accuracy = r->val_accuracy,
      .val_lo = r->val_lo,
      .val_hi = r->val_hi,
      .val_macro_f1 = r->val_macro_f1,
      .val_nll = r->val_nll,
      .majority_label = j->majority,
      .majority_accuracy = r->majority_accuracy,
      .linear_accuracy = r->linear_accuracy};
  tx_artifact_add_facts(j->writer, &facts);
}

static tx_status write_artifact(job *j) {
  j->writer = tx_gguf_writer_new();
  j->label_names = tx_alloc_array((size_t)j->split.classes, sizeof *j->label_names);
  if (!j->writer || !j->label_names) return tx_fail_memory(j->error, 256, "the artifact");
  add_parameters(j);
  add_facts(j);
  tx_linear_save(j->linear, j->writer);
  TX_TRY(add_fingerprints(j));
  return tx_gguf_commit(j->writer, j->options->out, j->error);
}

/* ---- the whole --------------------------------------------------------- */

static tx_status run(job *j) {
  const tx_train_options *o = j->options;
  TX_TRY(check_options(o, j->error));
  TX_TRY(check_output(j));
  TX_TRY(open_model(j));
  TX_TRY(tx_partition_read(o->data, o->validation, o->table, o->seed, &j->split, j->error));
  TX_TRY(weigh_classes(j));
  TX_TRY(encode_rows(j));
  TX_TRY(train_baselines(j));
  TX_TRY(run_trunk(j));
  TX_TRY(tx_tail_new(j->model, j->blocks, o->pooling, j->split.classes, &j->tail, j->error));
  TX_TRY(start_head(j));
  TX_TRY(take_gradient_steps(j));
  TX_TRY(score_validation(j));
  return write_artifact(j);
}

static void job_free(job *j) {
  tx_gguf_writer_free(j->writer);
  tx_free(j->label_names);
  tx_free(j->fingerprints);
  tx_scorer_free(j->linear);
  tx_tail_free(j->tail);
  tx_states_free(&j->train_states);
  tx_states_free(&j->validation_states);
  tx_free(j->train_rows);
  tx_free(j->validation_rows);
  tx_free(j->class_weights);
  tx_encoded_free(&j->train_tokens);
  tx_encoded_free(&j->validation_tokens);
  tx_pass_close(&j->pass);
  tx_tokenizer_free(j->tokenizer);
  tx_model_close(j->model);
  tx_buffer_free(&j->home);
  tx_partition_free(&j->split);
}

tx_status tx_train(const tx_train_options *options, tx_train_report *report, const tx_watch *watch,
                   tx_error *error) {
  double start = tx_seconds();
  *report = (tx_train_report){0};
  job j = {.options = options, .report = report, .watch = watch, .error = error};
  tx_status status = run(&j);
  job_free(&j);
  report->seconds = tx_seconds() - start;
  report->peak_rss_bytes = tx_peak_memory();
  return status;
}
