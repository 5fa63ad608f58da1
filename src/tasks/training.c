/* Opening what a training needs, and the settings of its steps. */
#include "tasks/training.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/exact.h"
#include "base/hash.h"
#include "base/watch.h"
#include "formats/file.h"
#include "formats/hub.h"
#include "tasks/random_base.h"
#include "tasks/run.h"
#include "text/vocabulary.h"

/* ---- opening ----------------------------------------------------------- */

static tx_status check_input(const char *out, const char *input, const char *name,
                             tx_error *error) {
  if (!input || strcmp(input, "-") == 0 || !tx_file_same(input, out)) return TX_OK;
  return tx_fail(error, TX_ERROR_ARGUMENT,
                 "the output %s is the file of the %s; name another output", out, name);
}

/* Whatever the artifact cannot be written for is found before the work; and
 * what it would replace must not be what it is made of. */
static tx_status check_output(tx_training *t, tx_error *error) {
  const tx_train_options *o = t->options;
  char known[65];
  TX_TRY(tx_model_locate(o->model, o->home, t->model_path, known, error));
  TX_TRY(check_input(o->out, t->model_path, "model", error));
  TX_TRY(check_input(o->out, o->data, "training table", error));
  TX_TRY(check_input(o->out, o->validation, "validation table", error));
  for (size_t i = 0; i < o->head_count; i++) {
    TX_TRY(check_input(o->out, o->heads[i].data, "training table", error));
  }
  tx_writer *writer;
  TX_TRY(tx_writer_open(o->out, &writer, error));
  tx_writer_cancel(writer);
  return TX_OK;
}

/* A rank beyond a matrix's smaller side says nothing more than that side. */
static tx_status check_rank(const tx_training *t, tx_error *error) {
  uint32_t targets = tx_training_adapter(t).targets;
  for (int slot = 0; slot < TX_MATRICES; slot++) {
    int64_t outputs, inputs;
    tx_matrix_shape(t->facts, (tx_matrix_slot)slot, &outputs, &inputs);
    int64_t side = outputs < inputs ? outputs : inputs, rank = t->options->rank;
    if (outputs == 0 || !(targets >> slot & 1) || rank <= side) continue;
    return tx_fail(error, TX_ERROR_ARGUMENT,
                   "--rank is %" PRId64 ", but %s of %s is %" PRId64 " by %" PRId64
                   "; it may be up to %" PRId64,
                   rank, tx_matrix_stem((tx_matrix_slot)slot), t->options->model, outputs,
                   inputs, side);
  }
  return TX_OK;
}

/* The options against the model's own sizes. */
static tx_status check_depth(const tx_training *t, tx_error *error) {
  const tx_train_options *o = t->options;
  int64_t blocks = t->facts->blocks, depth = o->depth > 0 ? o->depth : blocks;
  if (o->depth > blocks || o->max_depth > blocks) {
    return tx_fail(error, TX_ERROR_ARGUMENT, "--%s is %d, but %s has %" PRId64 " block%s",
                   o->depth > blocks ? "depth" : "max-depth",
                   o->depth > blocks ? o->depth : o->max_depth, tx_training_base_name(t), blocks,
                   blocks == 1 ? "" : "s");
  }
  if (o->method == TX_METHOD_LORA) TX_TRY(check_rank(t, error));
  bool trains = o->method != TX_METHOD_AUTO && o->method != TX_METHOD_HEAD;
  if (trains && o->blocks > depth) {
    return tx_fail(error, TX_ERROR_ARGUMENT, "--blocks is %d, but %s has %" PRId64 " block%s%s",
                   o->blocks, o->model, depth, depth == 1 ? "" : "s",
                   o->depth > 0 ? " at this --depth" : "");
  }
  return TX_OK;
}

static tx_status open_model(tx_training *t, tx_error *error) {
  const tx_train_options *o = t->options;
  TX_TRY(tx_model_open(t->model_path, NULL, &t->model, error));
  t->facts = tx_model_facts(t->model);
  uint64_t size;
  const unsigned char *bytes = tx_gguf_bytes(tx_model_gguf(t->model), &size);
  if (!tx_sha256_bytes(bytes, size, t->base_sha256)) return tx_fail_memory(error, 256, "a hash");
  TX_TRY(tx_tokenizer_from_gguf(tx_model_gguf(t->model), &t->tokenizer, error));
  TX_TRY(tx_pass_open(t->facts, &t->pass, error));
  int64_t wanted = o->max_tokens;
  t->max_tokens = wanted > 0 && wanted < t->facts->context ? wanted : t->facts->context;
  return check_depth(t, error);
}

const char *tx_training_base_name(const tx_training *t) {
  return t->base_name[0] ? t->base_name : t->options->model;
}

tx_status tx_training_open(tx_training *t, tx_error *error) {
  const tx_train_options *o = t->options;
  TX_TRY(check_output(t, error));
  if (o->init == TX_INIT_RANDOM) {
    char base[sizeof t->model_path];
    memcpy(base, t->model_path, sizeof base);
    TX_TRY(tx_random_base(o->home, base, o->model, o->layers, o->width, o->seed, t->base_name,
                          t->model_path, t->watch, error));
  }
  return open_model(t, error);
}

/* The home may not be there yet: a model given by its path needs none.  Without
 * one there is no cache, and no file for what does not fit in memory. */
void tx_training_open_cache(tx_training *t) {
  t->trunk = (tx_trunk_cache){.model = t->model,
                              .model_sha256 = t->base_sha256,
                              .bound = (uint64_t)t->options->cache_mb << 20,
                              .remember = t->options->head_count > 1 || t->options->seeds > 1 ||
                                          t->options->folds > 0,
                              .scratch = "."};
  tx_error error = {0};
  if (tx_home(t->options->home, &t->home, &error) != TX_OK ||
      tx_directory_make(t->home.data, &error) != TX_OK ||
      tx_path_join(t->cache_path, t->home.data, "cache", &error) != TX_OK) {
    tx_watch_note(t->watch, "no states are kept for another run: %s", error.message);
    return;
  }
  t->trunk.scratch = t->home.data;
  if (t->options->no_cache) return;
  t->trunk.directory = t->cache_path;
  if (t->trunk.bound > 0) t->memo = tx_memo_open(t->cache_path, t->trunk.bound);
}

void tx_training_close(tx_training *t) {
  tx_trunk_forget(&t->trunk);
  tx_memo_close(t->memo, t->watch);
  tx_run_close(t->run);
  tx_pass_close(&t->pass);
  tx_tokenizer_free(t->tokenizer);
  tx_model_close(t->model);
  tx_buffer_free(&t->home);
}

/* ---- what is trained, and how ------------------------------------------ */

tx_adapter_options tx_training_adapter(const tx_training *t) {
  static const uint32_t attention = 1u << TX_MATRIX_QUERY | 1u << TX_MATRIX_KEY |
                                    1u << TX_MATRIX_VALUE | 1u << TX_MATRIX_OUT;
  static const uint32_t targets[] = {(1u << TX_MATRICES) - 1, attention,
                                     1u << TX_MATRIX_QUERY | 1u << TX_MATRIX_VALUE};
  const tx_train_options *o = t->options;
  double rank = o->rank, alpha = o->alpha > 0 ? o->alpha : 2 * rank;
  return (tx_adapter_options){.rank = o->rank,
                              .scale = alpha / (o->rank_stabilised ? sqrt(rank) : rank),
                              .targets = targets[o->targets],
                              .dropout = o->dropout,
                              .magnitudes = o->dora,
                              .seed = o->seed};
}

/* Of a few hundred tokens through all blocks of a small model: a third less time. */
enum { ACTIVATION_BYTES = 256 << 20 };

tx_trained_part tx_training_part(tx_method method) {
  switch (method) {
    case TX_METHOD_NORMS: return TX_TRAINED_NORMS;
    case TX_METHOD_LORA: return TX_TRAINED_ADAPTERS;
    case TX_METHOD_FULL: return TX_TRAINED_MODEL;
    default: return TX_TRAINED_ALL;
  }
}

uint64_t tx_training_activations(const tx_training *t) {
  return t->options->keep_activations ? UINT64_MAX : ACTIVATION_BYTES;
}

tx_fit_options tx_training_steps(const tx_training *t) {
  const tx_train_options *o = t->options;
  return (tx_fit_options){.batch = o->batch,
                          .batch_tokens = o->batch_tokens,
                          .accumulate = o->accumulate,
                          .weight_decay = o->weight_decay,
                          .warm_up = o->warm_up,
                          .clip = o->clip,
                          .schedule = o->schedule,
                          .average = o->ema,
                          .checkpoint = tx_run_checkpoint(t->run),
                          .log = tx_run_log(t->run),
                          .balanced = o->sampling == TX_SAMPLING_BALANCED,
                          .seed = o->seed};
}

/* Rates around the method's own, a factor of ten in three. */
enum { SWEEP = 8, SWEEP_CENTRE = 4, SWEEP_STEPS = 60 };

/* Each rate from the same beginning; what was learnt on the way is let go.  A rate at
 * which the loss is no number is none. */
static tx_status try_rates(tx_training *t, const tx_learner *learner, tx_fit_options options,
                           const float *begin, double *best, tx_error *error) {
  double own = options.learning_rate, lowest = INFINITY;
  tx_watch quiet = t->watch ? *t->watch : (tx_watch){0};
  quiet.note = NULL;
  options.max_steps = SWEEP_STEPS, options.checkpoint = NULL, options.log = NULL;
  for (int i = 0; i < SWEEP; i++) {
    tx_fit_report fit;
    tx_error diverged = {0};
    options.learning_rate = own * tx_power(10, (i - SWEEP_CENTRE) / 3.0);
    tx_status status = tx_fit(learner, options, &fit, &quiet, &diverged);
    tx_parameters_begin(learner->parameters, begin);
    if (status != TX_OK && status != TX_ERROR_INPUT) return tx_fail_with(error, &diverged);
    if (status != TX_OK || fit.last_loss >= lowest) continue;
    lowest = fit.last_loss;
    *best = options.learning_rate;
  }
  if (lowest == INFINITY) {
    return tx_fail(error, TX_ERROR_INPUT,
                   "at none of %d learning rates from %g on is the loss a number; try another "
                   "model, or the texts in parts", SWEEP, own * tx_power(10, -SWEEP_CENTRE / 3.0));
  }
  tx_watch_note(t->watch, "learning rate %.3g: of %d the one with the lowest validation loss after "
                "%d steps, %.4f", *best, SWEEP, SWEEP_STEPS, lowest);
  return TX_OK;
}

tx_status tx_training_sweep(tx_training *t, const tx_learner *learner, tx_fit_options *steps,
                            tx_error *error) {
  float *begin = tx_parameters_copy(learner->parameters);
  if (!begin) return tx_fail_memory(error, 0, "the parameters before the sweep");
  tx_status status = try_rates(t, learner, *steps, begin, &steps->learning_rate, error);
  tx_free(begin);
  return status;
}
