/* The facts of a run, and its log. */
#include "tasks/run.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/clock.h"
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
  double before; /* seconds: when the step before was told */
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

/* Everything that decides the weights, under the name by which the user gave it. */
static void add_facts(tx_run *run, const tx_training *t, const tx_run_fact *own, size_t count) {
  const tx_train_options *o = t->options;
  add_text(run, "taxon", tx_version());
  add_text(run, "a model with SHA-256", t->base_sha256);
  for (size_t i = 0; i < count; i++) add_text(run, own[i].name, own[i].value);
  add_text(run, "--method", tx_method_name(o->method));
  add_text(run, "--pooling", tx_pooling_name(o->pooling));
  const struct {
    const char *name;
    double value;
  } numbers[] = {{"--depth", o->depth},
                 {"--max-depth", o->max_depth},
                 {"--blocks", o->blocks},
                 {"--rank", o->rank},
                 {"--alpha", o->alpha},
                 {"--rslora", o->rank_stabilised},
                 {"--targets number", o->targets},
                 {"--dropout", o->dropout},
                 {"--dora", o->dora},
                 {"--attention number", o->attention},
                 {"--pad-to", (double)o->pad_to},
                 {"--batch-tokens", (double)o->batch_tokens},
                 {"--head-solver number", o->head_solver},
                 {"--penalty", o->penalty},
                 {"--class-weights number", o->class_weights},
                 {"--precision number", o->precision},
                 {"--max-tokens", (double)o->max_tokens},
                 {"--epochs", o->epochs},
                 {"--batch", o->batch},
                 {"--accumulate", o->accumulate},
                 {"--patience", o->patience},
                 {"--lr", o->sweep ? -1 : o->learning_rate},
                 {"--weight-decay", o->weight_decay},
                 {"--warm-up", o->warm_up},
                 {"--clip", o->clip},
                 {"--schedule number", o->schedule},
                 {"--sampling number", o->sampling},
                 {"--layer-decay", o->layer_decay},
                 {"--ema", o->ema},
                 {"--label-smoothing", o->label_smoothing},
                 {"--focal", o->focal}};
  char seed[VALUE];
  snprintf(seed, sizeof seed, "%" PRIu64, o->seed);
  add_text(run, "--seed", seed); /* a double holds not every one */
  _Static_assert(sizeof numbers / sizeof *numbers + 5 + TX_RUN_OWN <= FACTS, "all of them fit");
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

/* The number of the step that a line of the log is about; -1: of none. */
static int64_t step_of(const char *line, size_t size) {
  json_t *object = json_loadb(line, size, 0, NULL);
  const json_t *step = json_object_get(object, "step");
  int64_t number = json_is_integer(step) ? json_integer_value(step) : -1;
  json_decref(object);
  return number;
}

/* Bytes of an old log up to what was told after step `last`, which is done again. */
static tx_status keep_until(const char *path, int64_t last, uint64_t *keep, tx_error *error) {
  tx_map map;
  *keep = 0;
  if (!tx_file_look(path).exists) return TX_OK;
  TX_TRY(tx_map_open(path, &map, error));
  for (uint64_t at = 0; at < map.size;) {
    const unsigned char *end = memchr(map.data + at, '\n', map.size - at);
    if (!end) break;
    uint64_t size = (uint64_t)(end - map.data) - at + 1;
    int64_t step = step_of((const char *)map.data + at, size);
    if (step < 0 || step > last) break;
    *keep = at += size;
  }
  tx_map_close(&map);
  return TX_OK;
}

static tx_status log_start(void *context, int64_t step, tx_error *error) {
  tx_run *run = context;
  uint64_t keep = 0;
  if (step >= 0) TX_TRY(keep_until(run->log_path, step, &keep, error));
  run->before = tx_seconds();
  return tx_appender_open(run->log_path, keep, &run->appender, error);
}

static tx_status log_step(void *context, int64_t step, int64_t epoch, double loss,
                          double learning_rate, double gradient_norm, int64_t tokens,
                          const int64_t *examples, int64_t count, tx_error *error) {
  tx_run *run = context;
  double now = tx_seconds(), seconds = now - run->before;
  run->before = now;
  json_t *line = json_pack("{sI sI sf sf sf sf}", "step", (json_int_t)step, "epoch",
                           (json_int_t)epoch, "loss", loss, "learning_rate", learning_rate,
                           "gradient_norm", gradient_norm, "tokens_per_second",
                           seconds > 0 ? (double)tokens / seconds : 0);
  json_t *rows = json_array();
  for (int64_t i = 0; i < count; i++) {
    if (json_array_append_new(rows, json_integer(examples[i])) == 0) continue;
    json_decref(rows);
    rows = NULL;
    break;
  }
  if (!line || json_object_set_new(line, "rows", rows) != 0) {
    json_decref(line);
    line = NULL;
  }
  return add_line(run, line, error);
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
