/* The facts of a run, and its log. */
#include "tasks/run.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/memory.h"
#include "formats/directory.h"
#include "formats/file.h"
#include "score/network.h"

enum { FACTS = 64, VALUE = 72 };

struct tx_run {
  tx_run_fact facts[FACTS];
  char values[FACTS][VALUE];
  size_t count;
  tx_checkpoint *checkpoint;
  char log_path[TX_PATH_SIZE];
  tx_appender *appender;
  tx_fit_log log;
};

/* ---- facts ------------------------------------------------------------- */

static void add_text(tx_run *run, const char *name, const char *value) {
  run->facts[run->count] = (tx_run_fact){name, run->values[run->count]};
  snprintf(run->values[run->count++], VALUE, "%s", value);
}

static void add_number(tx_run *run, const char *name, double value) {
  char text[VALUE];
  snprintf(text, sizeof text, "%.17g", value);
  add_text(run, name, text);
}

static void add_rate(tx_run *run, double rate) {
  if (rate > 0) {
    add_number(run, "--lr", rate);
  } else {
    add_text(run, "--lr", "the method's own");
  }
}

enum { WORDS = 7 };

/* Choices, by the words of the command line. */
static void add_words(tx_run *run, const tx_train_options *o) {
  const struct {
    const char *name, *words[3];
    int value;
  } choices[WORDS] = {
      {"--targets", {"all", "attention", "query-value"}, (int)o->targets},
      {"--attention", {"causal", "bidirectional", "two-way"}, (int)o->attention},
      {"--head-solver", {"convex", "sgd", NULL}, (int)o->head_solver},
      {"--class-weights", {"none", "balanced", NULL}, (int)o->class_weights},
      {"--precision", {"f32", "int8", "auto"}, (int)o->precision},
      {"--schedule", {"constant", "cosine", "linear"}, (int)o->schedule},
      {"--sampling", {"all", "balanced", NULL}, (int)o->sampling},
  };
  for (int i = 0; i < WORDS; i++) {
    add_text(run, choices[i].name, choices[i].words[choices[i].value]);
  }
}

/* Everything that decides the weights, under the name by which the user gave it. */
static void add_facts(tx_run *run, const tx_training *t, const tx_run_fact *own, size_t count) {
  const tx_train_options *o = t->options;
  add_text(run, "taxon", tx_version());
  add_text(run, "a model with SHA-256", t->base_sha256);
  for (size_t i = 0; i < count; i++) add_text(run, own[i].name, own[i].value);
  add_text(run, "--method", tx_method_name(o->method));
  add_text(run, "--pooling", tx_pooling_name(o->pooling));
  add_words(run, o);
  if (o->sweep) {
    add_text(run, "--lr", "sweep");
  } else {
    add_rate(run, o->learning_rate);
  }
  add_text(run, "--label-separator", o->table.label_separator ? o->table.label_separator : "none");
  const struct {
    const char *name;
    double value;
  } numbers[] = {{"--depth", o->depth},
                 {"--max-depth", o->max_depth},
                 {"--blocks", o->blocks},
                 {"--rank", o->rank},
                 {"--alpha", o->alpha},
                 {"--rslora", o->rank_stabilised},
                 {"--dropout", o->dropout},
                 {"--dora", o->dora},
                 {"--pad-to", (double)o->pad_to},
                 {"--batch-tokens", (double)o->batch_tokens},
                 {"--penalty", o->penalty},
                 {"--max-tokens", (double)o->max_tokens},
                 {"--epochs", o->epochs},
                 {"--batch", o->batch},
                 {"--accumulate", o->accumulate},
                 {"--patience", o->patience},
                 {"--weight-decay", o->weight_decay},
                 {"--warm-up", o->warm_up},
                 {"--clip", o->clip},
                 {"--layer-decay", o->layer_decay},
                 {"--ema", o->ema},
                 {"--label-smoothing", o->label_smoothing},
                 {"--focal", o->focal}};
  char seed[VALUE];
  snprintf(seed, sizeof seed, "%" PRIu64, o->seed);
  add_text(run, "--seed", seed); /* a double holds not every one */
  _Static_assert(sizeof numbers / sizeof *numbers + WORDS + 7 + TX_RUN_OWN <= FACTS,
                 "all of them fit");
  for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
    add_number(run, numbers[i].name, numbers[i].value);
  }
}

/* ---- the log ----------------------------------------------------------- */

/* Takes the line; NULL: there was no memory for it. */
static tx_status add_line(tx_run *run, json_t *line, tx_error *error) {
  const size_t how = JSON_COMPACT | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(9);
  char *text = line ? json_dumps(line, how) : NULL;
  tx_buffer whole = {0};
  json_decref(line);
  tx_status status = TX_OK;
  if (text && tx_buffer_append_string(&whole, text) && tx_buffer_append_byte(&whole, '\n')) {
    status = tx_appender_add(run->appender, whole.data, whole.size, error);
  } else {
    status = tx_fail_memory(error, 256, "the run's log");
  }
  tx_buffer_free(&whole);
  free(text); /* jansson's own */
  return status;
}

/* Whether a line of the log tells what will be told again by a run that goes on after step
 * `last`, in `epoch`, which is not judged.  A line that is none of the log's own is not. */
static bool comes_again(const char *line, size_t size, int64_t last, int64_t epoch) {
  json_t *object = json_loadb(line, size, 0, NULL);
  const json_t *step = json_object_get(object, "step"), *of = json_object_get(object, "epoch");
  bool own = json_is_integer(step) && json_is_integer(of);
  bool judges = json_object_get(object, "validation_loss") != NULL;
  bool again = own && (json_integer_value(step) > last ||
                       (judges && json_integer_value(of) >= epoch));
  json_decref(object);
  return again;
}

/* A file of that name that no run has written is not written over. */
static tx_status check_foreign(const char *path, tx_error *error) {
  tx_map map;
  if (!tx_file_look(path).exists) return TX_OK;
  TX_TRY(tx_map_open(path, &map, error));
  const unsigned char *end = map.size > 0 ? memchr(map.data, '\n', map.size) : NULL;
  uint64_t size = end ? (uint64_t)(end - map.data) : map.size;
  bool own = map.size == 0 || !end || comes_again((const char *)map.data, size, -1, 0);
  tx_map_close(&map);
  if (own) return TX_OK;
  return tx_fail(error, TX_ERROR_ARGUMENT,
                 "%s is there already and no log of a run; name another directory with --run",
                 path);
}

/* Bytes of an old log up to what is told again; what a kill left of a line is not kept. */
static tx_status keep_until(const char *path, int64_t last, int64_t epoch, uint64_t *keep,
                            tx_error *error) {
  tx_map map;
  *keep = 0;
  if (!tx_file_look(path).exists) return TX_OK;
  TX_TRY(tx_map_open(path, &map, error));
  for (uint64_t at = 0; at < map.size;) {
    const unsigned char *end = memchr(map.data + at, '\n', map.size - at);
    if (!end) break;
    uint64_t size = (uint64_t)(end - map.data) - at + 1;
    if (comes_again((const char *)map.data + at, size, last, epoch)) break;
    *keep = at += size;
  }
  tx_map_close(&map);
  return TX_OK;
}

static tx_status log_start(void *context, int64_t step, int64_t epoch, tx_error *error) {
  tx_run *run = context;
  uint64_t keep = 0;
  if (step < 0) TX_TRY(check_foreign(run->log_path, error));
  if (step >= 0) TX_TRY(keep_until(run->log_path, step, epoch, &keep, error));
  return tx_appender_open(run->log_path, keep, &run->appender, error);
}

/* Takes nothing; NULL: no memory. */
static json_t *numbers_of(const int64_t *examples, int64_t count) {
  json_t *rows = json_array();
  for (int64_t i = 0; rows && i < count; i++) {
    if (json_array_append_new(rows, json_integer(examples[i])) == 0) continue;
    json_decref(rows);
    return NULL;
  }
  return rows;
}

static tx_status log_step(void *context, const tx_fit_step *s, tx_error *error) {
  double speed = s->seconds > 0 ? (double)s->tokens / s->seconds : 0;
  json_t *line = json_pack("{sI sI sf sf sf sf so*}", "step", (json_int_t)s->step, "epoch",
                           (json_int_t)s->epoch, "loss", s->loss, "learning_rate",
                           s->learning_rate, "gradient_norm", s->gradient_norm,
                           "tokens_per_second", speed, "rows", numbers_of(s->examples, s->count));
  if (line && !json_object_get(line, "rows")) {
    json_decref(line);
    line = NULL;
  }
  return add_line(context, line, error);
}

static tx_status log_epoch(void *context, int64_t step, int64_t epoch, double training_loss,
                           double validation_loss, double accuracy, tx_error *error) {
  json_t *line = json_pack("{sI sI}", "step", (json_int_t)step, "epoch", (json_int_t)epoch);
  bool whole = line && (epoch == 0 || json_object_set_new(line, "training_loss",
                                                          json_real(training_loss)) == 0) &&
               json_object_set_new(line, "validation_loss", json_real(validation_loss)) == 0 &&
               json_object_set_new(line, "accuracy", json_real(accuracy)) == 0;
  if (!whole) {
    json_decref(line);
    line = NULL;
  }
  return add_line(context, line, error);
}

/* ---- the whole --------------------------------------------------------- */

tx_status tx_run_open(const tx_training *training, const tx_run_fact *own, size_t count,
                      tx_run **run, tx_error *error) {
  const tx_train_options *o = training->options;
  *run = NULL;
  if (!o->run) return TX_OK;
  tx_run *made = tx_alloc_zero(1, sizeof *made);
  if (!made) return tx_fail_memory(error, sizeof *made, "the run");
  made->log = (tx_fit_log){made, log_start, log_step, log_epoch};
  add_facts(made, training, own, count < TX_RUN_OWN ? count : TX_RUN_OWN);
  tx_status status = tx_path_join(made->log_path, o->run, "log.jsonl", error);
  if (status == TX_OK) {
    status = tx_checkpoint_open(o->run, made->facts, made->count, o->save_minutes, o->resume,
                                &made->checkpoint, error);
  }
  if (status == TX_OK) {
    *run = made;
  } else {
    tx_run_close(made);
  }
  return status;
}

void tx_run_close(tx_run *run) {
  if (!run) return;
  tx_checkpoint_close(run->checkpoint);
  tx_appender_close(run->appender);
  tx_free(run);
}

tx_checkpoint *tx_run_checkpoint(tx_run *run) { return run ? run->checkpoint : NULL; }
const tx_fit_log *tx_run_log(const tx_run *run) { return run ? &run->log : NULL; }
