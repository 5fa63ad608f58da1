/* tx_train: from tables and a base model to an artifact.  The order of the steps
 * stands in run(); one label set's are in label_set*.c, writing in train_write.c. */
#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "base/watch.h"
#include "formats/artifact.h"
#include "formats/nearest.h"
#include "formats/table.h"
#include "model/spikes.h"
#include "score/network.h"
#include "tasks/repeat.h"
#include "tasks/run.h"
#include "tasks/train_write.h"

typedef struct {
  tx_training shared;
  tx_label_set *sets; /* (count) */
  size_t count;
  tx_error *error;
} job;

tx_train_options tx_train_defaults(void) {
  return (tx_train_options){.table = tx_table_defaults(),
                            .method = TX_METHOD_AUTO,
                            .pooling = TX_POOLING_AUTO,
                            .head_solver = TX_HEAD_CONVEX,
                            .rank = 16,
                            .epochs = 0,
                            .batch = 8,
                            .accumulate = 1,
                            .patience = 0,
                            .weight_decay = 0.1,
                            .warm_up = 0.05,
                            .clip = 1,
                            .schedule = TX_SCHEDULE_COSINE,
                            .cache_mb = 2048,
                            .save_minutes = 10,
                            .seeds = 1};
}

/* ---- options ----------------------------------------------------------- */

static tx_status check_range(const char *name, double value, double low, double high,
                             tx_error *error) {
  if (value >= low && value <= high) return TX_OK;
  return tx_fail(error, TX_ERROR_ARGUMENT, "%s is %g; it must lie between %g and %g", name, value,
                 low, high);
}

static bool trains_blocks(const tx_train_options *o) {
  return o->method != TX_METHOD_AUTO && o->method != TX_METHOD_HEAD;
}

/* What is learned of tokens' states takes gradient steps through blocks. */
static tx_status check_blocks(const tx_train_options *o, tx_error *error) {
  bool pools = o->pooling == TX_POOLING_ATTENTION;
  if (trains_blocks(o) || (!pools && o->attention == TX_ATTENTION_CAUSAL)) return TX_OK;
  return tx_fail(error, TX_ERROR_ARGUMENT,
                 "%s is for methods that train blocks: last-block, norms, lora and full",
                 pools ? "--pooling attention"
                       : o->attention == TX_ATTENTION_TWO_WAY ? "--attention two-way"
                                                              : "--attention bidirectional");
}

/* What auto chooses cannot be asked of it as well. */
static tx_status check_method(const tx_train_options *o, tx_error *error) {
  bool all = o->method == TX_METHOD_NORMS || o->method == TX_METHOD_LORA ||
             o->method == TX_METHOD_FULL;
  if (o->method == TX_METHOD_FULL && o->blocks > 0) {
    return tx_fail(error, TX_ERROR_ARGUMENT,
                   "--method full trains all blocks that are run; for %d of them name the method "
                   "last-block, or run fewer by --depth",
                   o->blocks);
  }
  if (all && o->precision != TX_PRECISION_F32) {
    return tx_fail(error, TX_ERROR_ARGUMENT,
                   "--method %s trains through blocks that stay f32; leave --precision out%s",
                   tx_method_name(o->method),
                   o->method == TX_METHOD_NORMS ? ", and quantize the classifier afterwards" : "");
  }
  if (o->method != TX_METHOD_AUTO) return TX_OK;
  if (o->pooling == TX_POOLING_FIRST) {
    return tx_fail(error, TX_ERROR_ARGUMENT,
                   "--pooling first is for --method head and last-block; auto, the default, tries "
                   "last, mean and both");
  }
  if (o->head_solver != TX_HEAD_CONVEX) {
    return tx_fail(error, TX_ERROR_ARGUMENT,
                   "--head-solver sgd is for --method head and last-block; auto, the default, "
                   "solves its head exactly");
  }
  if (o->blocks > 1) {
    return tx_fail(error, TX_ERROR_ARGUMENT,
                   "auto tries one block; for --blocks %d name the method last-block", o->blocks);
  }
  return TX_OK;
}

/* What is asked for by label is of one label a text. */
static tx_status check_labels(const tx_train_options *o, tx_error *error) {
  if (!o->table.label_separator) return TX_OK;
  if (o->hierarchical) {
    return tx_fail(error, TX_ERROR_ARGUMENT,
                   "--hierarchical is of texts with one label each; leave it out, or "
                   "--multi-label");
  }
  TX_TRY(tx_label_separator_check(o->table.label_separator, error));
  if (o->class_weights == TX_CLASS_WEIGHTS_NONE && o->sampling == TX_SAMPLING_ALL) return TX_OK;
  return tx_fail(error, TX_ERROR_ARGUMENT,
                 "--%s balanced is of texts with one label each; leave it out, or --multi-label",
                 o->sampling == TX_SAMPLING_ALL ? "class-weights" : "sampling");
}

/* A run is of gradient steps, of one label set. */
static tx_status check_run(const tx_train_options *o, tx_error *error) {
  bool steps = o->method != TX_METHOD_HEAD || o->head_solver == TX_HEAD_SGD;
  if (o->resume && !o->run) {
    return tx_fail(error, TX_ERROR_ARGUMENT, "there is no run to resume: name its directory");
  }
  if (!o->run || (steps && o->head_count < 2)) return TX_OK;
  return tx_fail(error, TX_ERROR_ARGUMENT,
                 "--run and --resume are for gradient steps, of one label set: %s",
                 steps ? "several heads take none" : "--method head solves its head exactly");
}

/* Several trainings are of one label set, and each is over before the next begins. */
static tx_status check_repeats(const tx_train_options *o, tx_error *error) {
  TX_TRY(check_range("seeds", o->seeds, 1, TX_MAX_SEEDS, error));
  TX_TRY(check_range("folds", o->folds, 0, TX_MAX_FOLDS, error));
  if (o->folds == 1) {
    return tx_fail(error, TX_ERROR_ARGUMENT, "--folds is 1; cross-validation needs 2 at least");
  }
  if (o->seeds == 1 && o->folds == 0) return TX_OK;
  const char *option = o->folds > 0 ? "--folds" : "--seeds";
  if (o->head_count > 1) {
    return tx_fail(error, TX_ERROR_ARGUMENT,
                   "%s is of one label set; train the heads one by one to compare", option);
  }
  if (!o->run) return TX_OK;
  return tx_fail(error, TX_ERROR_ARGUMENT,
                 "%s trains several times, but --run and --resume keep one training: leave one out",
                 option);
}

static tx_status check_head(const tx_train_options *o, size_t head, tx_error *error) {
  const tx_label_source *source = &o->heads[head];
  char shown[TX_SHOWN_SIZE];
  if (!source->name || !tx_is_head_name(tx_text_of(source->name))) {
    return tx_fail(error, TX_ERROR_ARGUMENT,
                   "the head's name '%s' will not do: it has 1 to %d bytes of UTF-8, no slash and "
                   "no control characters",
                   tx_show_name(tx_text_of(source->name ? source->name : ""), shown), TX_HEAD_NAME);
  }
  if (!source->data) {
    return tx_fail(error, TX_ERROR_ARGUMENT, "the head '%s' has no table",
                   tx_show_name(tx_text_of(source->name), shown));
  }
  for (size_t i = 0; i < head; i++) {
    if (strcmp(o->heads[i].name, source->name) != 0) continue;
    return tx_fail(error, TX_ERROR_ARGUMENT, "two heads are named '%s'; give each its own name",
                   tx_show_name(tx_text_of(source->name), shown));
  }
  return TX_OK;
}

/* Where the training rows come from: one table, or one a head. */
static tx_status check_sources(const tx_train_options *o, tx_error *error) {
  if (!o->model || !o->out || (o->head_count == 0 ? !o->data : !o->heads)) {
    return tx_fail(error, TX_ERROR_ARGUMENT,
                   "training needs a model, a training table and an output");
  }
  if (o->head_count == 0) return TX_OK;
  if (o->data || o->validation) {
    return tx_fail(error, TX_ERROR_ARGUMENT,
                   "heads bring their own tables, of which a part validates: give no other");
  }
  if (o->head_count > TX_MAX_HEADS) {
    return tx_fail(error, TX_ERROR_ARGUMENT, "there are %zu heads; a classifier has up to %d",
                   o->head_count, TX_MAX_HEADS);
  }
  if (o->method != TX_METHOD_AUTO && o->method != TX_METHOD_HEAD) {
    return tx_fail(
        error, TX_ERROR_ARGUMENT,
        "heads share the model's blocks, so none is trained: the method is auto or head");
  }
  for (size_t i = 0; i < o->head_count; i++) TX_TRY(check_head(o, i, error));
  return TX_OK;
}

tx_status tx_training_check(const tx_train_options *o, tx_error *error) {
  TX_TRY(check_sources(o, error));
  TX_TRY(tx_kernels_check(error));
  TX_TRY(check_range("init", (int)o->init, 0, TX_INIT_RANDOM, error));
  TX_TRY(check_range("layers", o->layers, 0, TX_MAX_BLOCKS, error));
  TX_TRY(check_range("width", o->width, 0, 1 << 17, error));
  if (o->init != TX_INIT_RANDOM && (o->layers > 0 || o->width > 0)) {
    return tx_fail(error, TX_ERROR_ARGUMENT,
                   "--%s is of a model with random weights: give --init random too",
                   o->layers > 0 ? "layers" : "width");
  }
  if (o->init == TX_INIT_RANDOM && o->seeds > 1) {
    return tx_fail(
        error, TX_ERROR_ARGUMENT,
        "--seeds goes over one model, and --init random draws another for each seed: train "
        "it again with another --seed instead");
  }
  TX_TRY(check_range("method", (int)o->method, 0, TX_METHOD_FULL, error));
  TX_TRY(check_range("pooling", (int)o->pooling, 0, TX_POOLING_AUTO, error));
  TX_TRY(check_range("head solver", (int)o->head_solver, 0, TX_HEAD_SGD, error));
  TX_TRY(check_range("schedule", (int)o->schedule, 0, TX_SCHEDULE_LINEAR, error));
  TX_TRY(check_range("class weights", (int)o->class_weights, 0, TX_CLASS_WEIGHTS_BALANCED, error));
  TX_TRY(check_range("precision", (int)o->precision, 0, TX_PRECISION_AUTO, error));
  TX_TRY(check_range("depth", o->depth, 0, TX_MAX_BLOCKS, error));
  TX_TRY(check_range("max depth", o->max_depth, 0, TX_MAX_BLOCKS, error));
  TX_TRY(check_range("blocks", o->blocks, 0, TX_MAX_BLOCKS, error));
  TX_TRY(check_range("rank", o->rank, 1, 1 << 16, error));
  TX_TRY(check_range("alpha", o->alpha, 0, 1e6, error));
  TX_TRY(check_range("dropout", o->dropout, 0, 0.99, error));
  TX_TRY(check_range("attention", (int)o->attention, 0, TX_ATTENTION_TWO_WAY, error));
  TX_TRY(check_range("batch tokens", (double)o->batch_tokens, 0, 1 << 24, error));
  TX_TRY(check_range("pad to", (double)o->pad_to, 0, 1 << 24, error));
  TX_TRY(check_range("targets", (int)o->targets, 0, TX_TARGETS_QUERY_VALUE, error));
  TX_TRY(check_range("epochs", o->epochs, 0, 1e6, error));
  TX_TRY(check_range("batch", o->batch, 1, 1 << 16, error));
  TX_TRY(check_range("accumulate", o->accumulate, 1, 1 << 16, error));
  TX_TRY(check_range("patience", o->patience, 0, 1e6, error));
  TX_TRY(check_range("learning rate", o->learning_rate, 0, 10, error));
  TX_TRY(check_range("weight decay", o->weight_decay, 0, 10, error));
  TX_TRY(check_range("warm-up", o->warm_up, 0, 1, error));
  TX_TRY(check_range("clip", o->clip, 0, 1e9, error));
  TX_TRY(check_range("save minutes", o->save_minutes, 0, 1e6, error));
  TX_TRY(check_run(o, error));
  TX_TRY(check_repeats(o, error));
  TX_TRY(check_range("sampling", (int)o->sampling, 0, TX_SAMPLING_BALANCED, error));
  TX_TRY(check_range("layer decay", o->layer_decay, 0, 1, error));
  TX_TRY(check_range("ema", o->ema, 0, 0.999999, error));
  TX_TRY(check_range("label smoothing", o->label_smoothing, 0, 0.999, error));
  TX_TRY(check_range("focal", o->focal, 0, 100, error));
  if (o->label_smoothing > 0 && o->focal > 0) {
    return tx_fail(error, TX_ERROR_ARGUMENT,
                   "--label-smoothing and --focal pull against each other; give one of them");
  }
  TX_TRY(check_labels(o, error));
  TX_TRY(check_range("penalty", o->penalty, 0, 1e6, error));
  TX_TRY(check_range("max tokens", (double)o->max_tokens, 0, 1e9, error));
  TX_TRY(check_range("cache", (double)o->cache_mb, 0, 1 << 24, error));
  TX_TRY(check_blocks(o, error));
  return check_method(o, error);
}

/* ---- precision --------------------------------------------------------- */

/* How deep the model is run at most. */
static int64_t deepest(const job *j) {
  const tx_train_options *o = j->shared.options;
  int64_t limit = o->method == TX_METHOD_AUTO ? o->max_depth : 0;
  return o->depth > 0 ? o->depth : limit > 0 ? limit : j->shared.facts->blocks;
}

/* Before the tables are read: a model that does not fit is no reason to wait. */
static tx_status check_memory(job *j) {
  bool int8 = j->shared.options->precision == TX_PRECISION_INT8;
  tx_model_set_dtype(j->shared.model, int8 ? TX_DTYPE_INT8 : TX_DTYPE_F32);
  tx_status status = tx_model_check_memory(j->shared.model, 0, deepest(j), j->error);
  tx_model_set_dtype(j->shared.model, TX_DTYPE_F32);
  return status;
}

/* The model in int8 from now on; what stays fp32 is measured on the first set's texts. */
static tx_status make_int8(job *j, int64_t depth) {
  tx_training *t = &j->shared;
  const tx_encoded *texts = &j->sets[0].train.tokens;
  tx_sequences sample = {texts->count, texts->ids, texts->offsets};
  TX_TRY(tx_spikes_keep(t->model, &t->pass, &sample, depth, t->watch, j->error));
  tx_model_unload(t->model, 0, t->facts->blocks);
  tx_model_set_dtype(t->model, TX_DTYPE_INT8);
  t->precision = TX_PRECISION_INT8;
  return TX_OK;
}

/* auto: int8 where every set's validation rows bear it. */
static tx_status try_int8(job *j) {
  bool accepted = true;
  int64_t depth = 0;
  for (size_t i = 0; i < j->count; i++) {
    if (j->sets[i].depth > depth) depth = j->sets[i].depth;
  }
  if (depth == 0) return TX_OK; /* no block is run */
  TX_TRY(make_int8(j, depth));
  for (size_t i = 0; i < j->count && accepted; i++) {
    TX_TRY(tx_label_set_requantise(&j->shared, &j->sets[i], &accepted, j->error));
  }
  for (size_t i = 0; i < j->count && accepted; i++) tx_label_set_take(&j->sets[i]);
  if (!accepted) j->shared.precision = TX_PRECISION_F32;
  return TX_OK;
}

/* ---- the whole --------------------------------------------------------- */

static tx_head_report report_head(const tx_label_set *set) {
  return (tx_head_report){.name = set->name,
                          .pooling = set->pooling,
                          .depth = (int)set->depth,
                          .train_rows = set->split.train.count,
                          .val_rows = set->split.validation.count,
                          .penalty = set->penalty,
                          .val_accuracy = set->val_accuracy,
                          .val_lo = set->val_lo,
                          .val_hi = set->val_hi,
                          .val_macro_f1 = set->val_macro_f1,
                          .val_micro_f1 = set->val_micro_f1,
                          .val_nll = set->val_nll,
                          .majority_accuracy = set->majority_accuracy,
                          .linear_accuracy = set->linear_accuracy};
}

static void report(job *j) {
  tx_train_report *r = j->shared.report;
  const tx_label_set *first = &j->sets[0];
  r->method = first->method, r->pooling = first->pooling, r->depth = (int)first->depth;
  r->epochs = first->epochs, r->best_epoch = first->best_epoch;
  r->penalty = first->penalty, r->learning_rate = first->learning_rate;
  r->labels = first->split.classes;
  r->train_accuracy = first->train_accuracy;
  r->val_accuracy = first->val_accuracy, r->val_lo = first->val_lo, r->val_hi = first->val_hi;
  r->val_macro_f1 = first->val_macro_f1, r->val_micro_f1 = first->val_micro_f1;
  r->val_nll = first->val_nll;
  r->majority_accuracy = first->majority_accuracy, r->linear_accuracy = first->linear_accuracy;
  for (size_t i = 0; i < j->count; i++) {
    r->train_rows += j->sets[i].split.train.count;
    r->val_rows += j->sets[i].split.validation.count;
    r->tokens += j->sets[i].tokens;
    r->cut += j->sets[i].cut;
    r->trained_parameters += j->sets[i].trained_parameters;
    if (j->sets[i].name) r->heads[r->head_count++] = report_head(&j->sets[i]);
  }
  r->precision = j->shared.precision;
  r->cached_texts = j->shared.trunk.recalled;
  r->computed_texts = j->shared.trunk.computed;
}

/* What a set needs no longer once it is trained is let go: the next one has its own. */
static tx_status train_set(job *j, tx_label_set *set) {
  tx_training *t = &j->shared;
  if (set->name) tx_watch_note(t->watch, "head %s", set->name);
  TX_TRY(tx_label_set_train(t, set, j->count > 1, j->error));
  tx_states_free(&set->train.states);
  tx_states_free(&set->validation.states);
  return TX_OK;
}

static tx_status open_run(tx_training *t, const tx_label_set *set, tx_error *error) {
  const tx_dataset *validation = set->split.validation_table;
  const tx_run_fact own[] = {
      {"training rows with SHA-256", set->split.train_table->sha256},
      {"validation rows with SHA-256", validation ? validation->sha256 : "none"}};
  return tx_run_open(t, own, sizeof own / sizeof *own, &t->run, error);
}

/* Before the artifact's own training, whose end may borrow from the model until it is written. */
static tx_status repeat(job *j) {
  tx_training *t = &j->shared;
  const tx_train_options *o = t->options;
  const char *file = o->head_count > 0 ? o->heads[0].data : o->data;
  t->report->seed_count = (size_t)o->seeds;
  for (int i = 0; i < o->seeds; i++) t->report->seeds[i].seed = o->seed + (uint64_t)i;
  if (o->folds > 0) TX_TRY(tx_repeat_folds(t, &j->sets[0], file, j->error));
  return tx_repeat_seeds(t, &j->sets[0], j->error);
}

/* All tables are read before the trunk runs, so that a wrong one is found soon. */
static tx_status train_sets(job *j) {
  tx_training *t = &j->shared;
  const tx_train_options *o = t->options;
  j->count = o->head_count > 0 ? o->head_count : 1;
  j->sets = tx_alloc_zero(j->count, sizeof *j->sets);
  if (!j->sets) return tx_fail_memory(j->error, j->count * sizeof *j->sets, "the label sets");
  for (size_t i = 0; i < j->count; i++) {
    bool named = o->head_count > 0;
    j->sets[i].name = named ? o->heads[i].name : NULL;
    TX_TRY(tx_label_set_read(t, &j->sets[i], named ? o->heads[i].data : o->data, o->validation,
                             j->error));
  }
  if (j->count > 1 && o->method == TX_METHOD_AUTO) {
    tx_watch_note(t->watch, "the heads share the model's blocks: none is trained");
  }
  if (j->count == 1) TX_TRY(open_run(t, &j->sets[0], j->error));
  if (o->precision == TX_PRECISION_INT8) TX_TRY(make_int8(j, deepest(j)));
  if (j->count == 1) TX_TRY(repeat(j));
  for (size_t i = 0; i < j->count; i++) TX_TRY(train_set(j, &j->sets[i]));
  if (j->count == 1) {
    tx_repeat_summarise(&j->sets[0], t->report); /* in f32, as the other seeds are */
  }
  return o->precision == TX_PRECISION_AUTO ? try_int8(j) : TX_OK;
}

static tx_status run(job *j) {
  tx_training *t = &j->shared;
  TX_TRY(tx_training_check(t->options, j->error));
  TX_TRY(tx_training_open(t, j->error));
  TX_TRY(check_memory(j));
  tx_training_open_cache(t);
  TX_TRY(train_sets(j));
  /* Before the artifact: what was fitted is kept even where that cannot be written. */
  tx_memo_write(t->memo, t->watch);
  TX_TRY(tx_train_write(t, j->sets, j->count, j->error));
  report(j);
  return TX_OK;
}

static void job_free(job *j) {
  for (size_t i = 0; j->sets && i < j->count; i++) tx_label_set_free(&j->sets[i]);
  tx_free(j->sets);
  tx_training_close(&j->shared);
}

tx_status tx_train(const tx_train_options *options, tx_train_report *report, const tx_watch *watch,
                   tx_error *error) {
  double start = tx_seconds();
  *report = (tx_train_report){0};
  job j = {.shared = {.options = options, .report = report, .watch = watch}, .error = error};
  tx_status status = run(&j);
  job_free(&j);
  report->seconds = tx_seconds() - start;
  report->peak_rss_bytes = tx_peak_memory();
  return status;
}
