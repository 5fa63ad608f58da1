/* tx_tune: from rows and a base model to one that writes.  The order of the steps stands in
 * run(). */
#include "tasks/tune.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/exact.h"
#include "base/watch.h"
#include "tasks/run.h"

tx_tune_options tx_tune_defaults(void) {
  tx_tune_options options = {.train = tx_train_defaults(), .beta = 0.1};
  options.train.method = TX_METHOD_LORA;
  return options;
}

/* ---- options ----------------------------------------------------------- */

/* Settings of tx_train() that mean nothing here stay as they are by default. */
static tx_status check_idle(const tx_train_options *o, tx_error *error) {
  const struct {
    const char *name;
    bool set;
  } idle[] = {{"a model with random weights", o->init != TX_INIT_PRETRAINED},
              {"a separator of labels", o->table.label_separator != NULL},
              {"paths of labels", o->hierarchical},
              {"a pooling", o->pooling != tx_train_defaults().pooling},
              {"attention that is not causal", o->attention != TX_ATTENTION_CAUSAL},
              {"padding", o->pad_to > 0},
              {"smoothing of labels", o->label_smoothing > 0},
              {"focal loss", o->focal > 0},
              {"class weights", o->class_weights != TX_CLASS_WEIGHTS_NONE},
              {"a penalty", o->penalty > 0},
              {"several seeds", o->seeds > 1},
              {"folds", o->folds > 0}};
  for (size_t i = 0; i < sizeof idle / sizeof *idle; i++) {
    if (!idle[i].set) continue;
    return tx_fail(error, TX_ERROR_ARGUMENT, "%s: that is of training a classifier, not of tuning",
                   idle[i].name);
  }
  return TX_OK;
}

static tx_status check_options(const tx_tune_options *o, tx_error *error) {
  TX_TRY(tx_training_check(&o->train, error));
  TX_TRY(check_idle(&o->train, error));
  if (o->train.head_count > 0 || o->train.method == TX_METHOD_AUTO ||
      o->train.method == TX_METHOD_HEAD || o->train.depth > 0 ||
      o->train.precision != TX_PRECISION_F32 || o->train.sampling != TX_SAMPLING_ALL) {
    return tx_fail(error, TX_ERROR_ARGUMENT,
                   "tuning has no labels and runs all blocks in f32: the method is last-block, "
                   "norms, lora or full, without heads, depth and balanced samples");
  }
  if (!(o->beta > 0 && o->beta <= 100)) {
    return tx_fail(error, TX_ERROR_ARGUMENT, "beta is %g; it must be above 0 and up to 100",
                   o->beta);
  }
  if (o->batch_tokens < 0) {
    return tx_fail(error, TX_ERROR_ARGUMENT, "a batch of %" PRId64 " tokens cannot be",
                   o->batch_tokens);
  }
  if (!o->preferences || (!o->with_prompts && !o->rows.answers)) return TX_OK;
  return tx_fail(error, TX_ERROR_ARGUMENT,
                 o->with_prompts
                     ? "--dpo compares answers to one prompt, so --with-prompts is not for it"
                     : "--dpo takes its answers as they stand, so --answers is not for it");
}

/* ---- the template ------------------------------------------------------- */

tx_status tx_tune_template(const char *name, const tx_gguf *model, tx_chat **chat,
                           const char **found, tx_error *error) {
  static const char *const names[] = {"model", "alpaca", "chatml"};
  if (!name) name = tx_gguf_has(model, "tokenizer.chat_template") ? "model" : "alpaca";
  TX_TRY(tx_chat_open(model, name, chat, error));
  for (int i = 0; i < 3; i++) {
    if (strcmp(name, names[i]) == 0) *found = names[i];
  }
  return TX_OK;
}

/* ---- rows --------------------------------------------------------------- */

static tx_status read_table(tx_tuning *u, const char *path, tx_written_rows *rows,
                            tx_error *error) {
  const tx_tune_options *o = u->options;
  const tx_training *t = &u->shared;
  tx_writing_options options = {.columns = &o->rows,
                                .preferences = o->preferences,
                                .with_prompts = o->with_prompts,
                                .chat = u->chat,
                                .tokenizer = t->tokenizer,
                                .model = o->train.model,
                                .context = t->facts->context,
                                .limit = o->train.max_tokens > 0 ? t->max_tokens : 0};
  TX_TRY(tx_written_rows_read(path, &options, rows, error));
  if (rows->left_out > 0) {
    tx_watch_note(t->watch, "%s: %" PRId64 " row%s of more than %" PRId64 " tokens left out", path,
                  rows->left_out, rows->left_out == 1 ? "" : "s", t->max_tokens);
  }
  u->report->left_out += rows->left_out;
  return TX_OK;
}

/* Validation that flatters. */
static tx_status note_shared(const tx_tuning *u, tx_error *error) {
  int64_t shared;
  TX_TRY(tx_written_rows_shared(&u->held_out, &u->train, &shared, error));
  if (shared == 0) return TX_OK;
  tx_watch_note(u->shared.watch,
                "%" PRId64 " of %" PRId64 " validation row%s ask%s what a training row asks too, "
                "which flatters the figures",
                shared, u->held_out.rows, u->held_out.rows == 1 ? "" : "s", shared == 1 ? "s" : "");
  return TX_OK;
}

static tx_status read_rows(tx_tuning *u, tx_error *error) {
  const tx_train_options *o = &u->options->train;
  if (o->validation) {
    TX_TRY(read_table(u, o->data, &u->train, error));
    TX_TRY(read_table(u, o->validation, &u->held_out, error));
    TX_TRY(note_shared(u, error));
  } else {
    tx_written_rows all;
    TX_TRY(read_table(u, o->data, &all, error));
    tx_status status =
        tx_written_rows_hold_out(&all, o->seed, o->data, &u->train, &u->held_out, error);
    tx_written_rows_free(&all);
    TX_TRY(status);
  }
  u->report->train_rows = u->train.rows, u->report->val_rows = u->held_out.rows;
  u->report->tokens = u->train.offsets[u->train.texts];
  u->report->answer_tokens = u->train.written_tokens;
  return TX_OK;
}

static tx_status open_run(tx_tuning *u, tx_error *error) {
  const tx_tune_options *o = u->options;
  char beta[32], batch_tokens[32];
  snprintf(beta, sizeof beta, "%.17g", o->preferences ? o->beta : 0);
  snprintf(batch_tokens, sizeof batch_tokens, "%" PRId64, o->batch_tokens);
  const tx_run_fact own[] = {
      {"training rows with SHA-256", u->train.sha256},
      {"validation rows with SHA-256", o->train.validation ? u->held_out.sha256 : "none"},
      {"--template", u->report->chat_template},
      {"--with-prompts", o->with_prompts ? "yes" : "no"},
      {"--dpo", o->preferences ? "yes" : "no"},
      {"--beta", beta},
      {"--batch-tokens", batch_tokens}};
  return tx_run_open(&u->shared, own, sizeof own / sizeof *own, &u->shared.run, error);
}

/* ---- states ------------------------------------------------------------- */

static int64_t blocks_of(const tx_tuning *u) {
  const tx_train_options *o = &u->options->train;
  if (o->blocks > 0) return o->blocks;
  return o->method == TX_METHOD_LAST_BLOCK ? 1 : u->shared.facts->blocks;
}

/* What the trained blocks read of the rows: token ids where the embeddings are trained. */
static tx_status recall(tx_tuning *u, tx_written_rows *rows, int64_t depth, tx_error *error) {
  tx_training *t = &u->shared;
  if (u->options->train.method == TX_METHOD_FULL) {
    rows->states = tx_states_of_ids(rows->texts, rows->offsets, t->facts->width, rows->ids);
    return TX_OK;
  }
  double start = tx_seconds();
  tx_sequences sequences = {rows->texts, rows->ids, rows->offsets};
  tx_trunk_want want = {TX_TRUNK_TOKENS, depth, TX_POOLING_LAST};
  tx_status status = tx_trunk_recall(&t->trunk, &t->pass, &sequences, rows->offsets, want,
                                     &rows->states, t->watch, error);
  u->report->trunk_seconds += tx_seconds() - start;
  return status;
}

static int64_t longest(const tx_written_rows *rows) {
  int64_t most = 0;
  for (int64_t i = 0; i < rows->texts; i++) {
    int64_t size = rows->offsets[i + 1] - rows->offsets[i];
    most = size > most ? size : most;
  }
  return most;
}

static tx_status new_language(tx_tuning *u, int64_t blocks, tx_error *error) {
  tx_training *t = &u->shared;
  const tx_train_options *o = &u->options->train;
  int64_t here = longest(&u->train), there = longest(&u->held_out);
  tx_language_options options = {.blocks = blocks,
                                 .part = tx_training_part(o->method),
                                 .adapter = tx_training_adapter(t),
                                 .positions = here > there ? here : there,
                                 .layer_decay = o->layer_decay,
                                 .averaged = o->ema > 0,
                                 .activation_bytes = tx_training_activations(t)};
  if (options.part == TX_TRAINED_NORMS || options.part == TX_TRAINED_ADAPTERS) {
    TX_TRY(tx_model_load(t->model, t->facts->blocks - blocks, t->facts->blocks, error));
  }
  return tx_language_new(t->model, options, &u->language, error);
}

static tx_status prepare(tx_tuning *u, tx_error *error) {
  tx_training *t = &u->shared;
  int64_t blocks = blocks_of(u), depth = t->facts->blocks - blocks;
  u->report->blocks = (int)blocks;
  if (depth == 0) t->trunk.directory = NULL; /* embeddings are sooner looked up than read */
  TX_TRY(recall(u, &u->train, depth, error));
  TX_TRY(recall(u, &u->held_out, depth, error));
  tx_model_unload(t->model, 0, t->facts->blocks);
  return new_language(u, blocks, error);
}

/* ---- learning ------------------------------------------------------------ */

/* nll: of the chosen and the rejected answer of each pair. */
static tx_status judge_pairs(const tx_language_lesson *lesson, tx_tune_score *score,
                             const tx_watch *watch, tx_error *error) {
  int64_t texts = lesson->held_out.states->count, likelier = 0;
  double *nll = tx_alloc_array((size_t)texts, sizeof *nll);
  if (!nll) return tx_fail_memory(error, (uint64_t)texts * sizeof *nll, "the losses");
  tx_status status = tx_language_nll(lesson->language, lesson->pass, &lesson->held_out,
                                     (tx_choice){NULL, 0}, nll, NULL, NULL, watch, error);
  for (int64_t i = 0; status == TX_OK && i < texts; i += 2) likelier += nll[i] < nll[i + 1];
  score->likelier = 2 * (double)likelier / (double)texts;
  tx_free(nll);
  return status;
}

static tx_status judge(const tx_learner *learner, tx_tune_score *score, const tx_watch *watch,
                       tx_error *error) {
  const tx_language_lesson *lesson = learner->self;
  TX_TRY(learner->judge(learner->self, &score->loss, &score->right, watch, error));
  if (lesson->pairs) return judge_pairs(lesson, score, watch, error);
  score->perplexity = tx_exp(score->loss);
  return TX_OK;
}

static double own_learning_rate(const tx_tune_options *o) {
  double rate = o->train.method == TX_METHOD_NORMS ? 1e-3
                : o->train.method == TX_METHOD_LORA ? 2e-4 : 5e-5;
  return o->preferences ? rate / 10 : rate;
}

static tx_status take_steps(tx_tuning *u, const tx_learner *learner, tx_error *error) {
  const tx_tune_options *o = u->options;
  tx_training *t = &u->shared;
  tx_fit_options options = tx_training_steps(t);
  tx_fit_report fit;
  options.epochs = o->train.epochs > 0 ? o->train.epochs : 2;
  options.patience = o->train.patience > 0 ? o->train.patience : 2;
  options.batch_tokens = o->batch_tokens;
  options.learning_rate = o->train.learning_rate > 0 ? o->train.learning_rate
                                                     : own_learning_rate(o);
  TX_TRY(judge(learner, &u->report->before, t->watch, error));
  if (o->train.sweep) TX_TRY(tx_training_sweep(t, learner, &options, error));
  TX_TRY(tx_fit(learner, options, &fit, t->watch, error));
  u->report->epochs = fit.epochs, u->report->best_epoch = fit.best_epoch;
  u->report->learning_rate = options.learning_rate;
  return judge(learner, &u->report->after, t->watch, error);
}

/* Pairs are measured from what the base thinks of their answers: start (texts of either). */
static tx_status measure_start(const tx_tuning *u, const tx_language_lesson *lesson, double *start,
                               tx_error *error) {
  const tx_watch *watch = u->shared.watch;
  const tx_choice all = {NULL, 0};
  TX_TRY(tx_language_nll(u->language, lesson->pass, &lesson->train, all, start, NULL, NULL, watch,
                         error));
  return tx_language_nll(u->language, lesson->pass, &lesson->held_out, all,
                         start + u->train.texts, NULL, NULL, watch, error);
}

static tx_status learn(tx_tuning *u, tx_error *error) {
  tx_training *t = &u->shared;
  size_t count = (size_t)(u->train.texts + u->held_out.texts);
  double *start = tx_alloc_zero(count, sizeof *start);
  if (!start) return tx_fail_memory(error, count * sizeof *start, "the losses");
  tx_language_lesson lesson = {.language = u->language,
                               .pass = &t->pass,
                               .train = {&u->train.states, u->train.ids, u->train.written},
                               .held_out = {&u->held_out.states, u->held_out.ids,
                                            u->held_out.written},
                               .pairs = u->options->preferences,
                               .beta = u->options->beta,
                               .start = start,
                               .held_out_start = start + u->train.texts};
  tx_status status = lesson.pairs ? measure_start(u, &lesson, start, error) : TX_OK;
  tx_learner learner = tx_language_learner(&lesson);
  if (status == TX_OK) status = take_steps(u, &learner, error);
  tx_free(start);
  return status;
}

/* ---- the whole ----------------------------------------------------------- */

static tx_status run(tx_tuning *u, tx_error *error) {
  tx_training *t = &u->shared;
  TX_TRY(check_options(u->options, error));
  TX_TRY(tx_training_open(t, error));
  TX_TRY(tx_tune_template(u->options->chat_template, tx_model_gguf(t->model), &u->chat,
                          &u->report->chat_template, error));
  TX_TRY(tx_model_check_memory(t->model, 0, t->facts->blocks, error));
  tx_training_open_cache(t);
  TX_TRY(read_rows(u, error));
  TX_TRY(open_run(u, error));
  TX_TRY(prepare(u, error));
  TX_TRY(learn(u, error));
  TX_TRY(tx_tune_write(u, error));
  u->report->cached_texts = t->trunk.recalled;
  u->report->computed_texts = t->trunk.computed;
  return TX_OK;
}

static void tuning_free(tx_tuning *u) {
  tx_language_free(u->language);
  tx_chat_free(u->chat);
  tx_written_rows_free(&u->train);
  tx_written_rows_free(&u->held_out);
  tx_training_close(&u->shared);
}

tx_status tx_tune(const tx_tune_options *options, tx_tune_report *report, const tx_watch *watch,
                  tx_error *error) {
  double start = tx_seconds();
  *report = (tx_tune_report){0};
  tx_tuning tuning = {.options = options,
                      .report = report,
                      .shared = {.options = &options->train, .watch = watch}};
  tx_status status = run(&tuning, error);
  tuning_free(&tuning);
  report->seconds = tx_seconds() - start;
  report->peak_rss_bytes = tx_peak_memory();
  return status;
}
