/* tx_export: what is to be written, opened and checked; the directory and its files. */
#include "tasks/export.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/watch.h"
#include "formats/artifact.h"
#include "formats/directory.h"
#include "formats/file.h"
#include "formats/hub.h"
#include "model/trunk.h"
#include "score/network.h"
#include "tasks/tuned_model.h"

tx_export_options tx_export_defaults(void) { return (tx_export_options){0}; }

/* ---- what is exported --------------------------------------------------- */

/* Ways of reading a text that no form has a word for. */
static tx_status check_ways(const tx_exporting *e, tx_error *error) {
  const char *what = e->pooling == TX_POOLING_ATTENTION ? "pools by what it has learned"
                     : e->facts->attention.size > 0     ? "sees texts as a whole (--attention)"
                     : e->facts->pad_to > 0             ? "fills texts up (--pad-to)"
                                                        : NULL;
  if (!what) return TX_OK;
  return tx_fail(error, TX_ERROR_ARGUMENT,
                 "%s %s, which no other program does; it is for taxon predict alone",
                 e->classifier->path, what);
}

static tx_status read_chosen_head(tx_exporting *e, tx_error *error) {
  const tx_facts *model = tx_model_facts(e->model);
  e->facts = &e->classifier->facts[e->classifier->chosen];
  e->depth = e->facts->depth;
  if (e->depth > model->blocks) {
    return tx_fail(error, TX_ERROR_INPUT,
                   "%s runs %" PRId64 " blocks, but its base has %" PRId64
                   "; the artifact is damaged, train it again",
                   e->classifier->path, e->depth, model->blocks);
  }
  TX_TRY(tx_pooling_find(e->facts->pooling, &e->pooling, error));
  TX_TRY(check_ways(e, error));
  e->features = tx_pool_parts(e->pooling) * model->width;
  e->report->classifier = true;
  e->report->labels = (int)e->facts->label_count;
  return tx_network_head(e->classifier->artifact, e->facts, e->features, &e->weight, &e->bias,
                         error);
}

/* What the files will not do as the classifier does. */
static void tell_differences(const tx_exporting *e) {
  if (e->facts->words > 0) {
    tx_watch_note(e->watch,
                  "this classifier also counts words (method auto): the exported model is its "
                  "network alone, and answers differ");
  }
  if (e->facts->precision.size > 0) {
    tx_watch_note(e->watch,
                  "this classifier runs in int8: what is exported are the weights before that, and "
                  "answers are those of --precision f32");
  }
}

static tx_status open_classifier(tx_exporting *e, const char *what, tx_error *error) {
  tx_classifier_options options = tx_classifier_defaults();
  char path[4096];
  options.home = e->options.home, options.model = e->options.model, options.head = e->options.head;
  TX_TRY(tx_classifier_read(what, options, &e->classifier, error));
  TX_TRY(tx_classifier_base(e->classifier, options, path, error));
  TX_TRY(tx_network_base(e->classifier->artifact, e->classifier->facts, path, &e->model, error));
  e->base_name = e->classifier->facts[0].base_name;
  TX_TRY(read_chosen_head(e, error));
  tell_differences(e);
  return TX_OK;
}

static tx_status open_model(tx_exporting *e, const char *path, tx_error *error) {
  if (e->options.head || e->options.model) {
    return tx_fail(error, TX_ERROR_ARGUMENT, "%s is a model by itself; leave out %s", path,
                   e->options.head ? "the head, it has none" : "the base, it is one");
  }
  TX_TRY(tx_model_open(path, NULL, &e->model, error));
  e->depth = tx_model_facts(e->model)->blocks;
  return TX_OK;
}

static tx_status open_tuned(tx_exporting *e, const char *path, tx_error *error) {
  tx_tuned_facts facts;
  if (e->options.head) {
    return tx_fail(error, TX_ERROR_ARGUMENT, "%s is a tuned model; leave out the head, it has none",
                   path);
  }
  TX_TRY(tx_tuned_model_open(path, e->options.home, e->options.model, &e->tuned, &facts, &e->model,
                             error));
  e->depth = tx_model_facts(e->model)->blocks;
  e->base_name = facts.base_name;
  return TX_OK;
}

/* A classifier's or a tuned model's file, or a model's name or file. */
static tx_status open_what(tx_exporting *e, const char *what, tx_error *error) {
  char path[4096], known[65];
  tx_gguf *gguf;
  bool file = tx_file_look(what).exists;
  if (!file) {
    TX_TRY(tx_model_locate(what, e->options.home, path, known, error));
    return open_model(e, path, error);
  }
  TX_TRY(tx_gguf_open(what, &gguf, error));
  bool artifact = tx_artifact_is(gguf), tuned = tx_tuned_is(gguf);
  tx_gguf_close(gguf);
  if (tuned) return open_tuned(e, what, error);
  return artifact ? open_classifier(e, what, error) : open_model(e, what, error);
}

/* ---- files --------------------------------------------------------------- */

tx_status tx_export_path(tx_exporting *e, const char *name, char path[4096],
                         tx_error *error) {
  TX_TRY(tx_path_join(path, e->options.out, name, error));
  const char *model = tx_gguf_path(tx_model_gguf(e->model));
  if (tx_file_same(path, model)) {
    return tx_fail(error, TX_ERROR_ARGUMENT,
                   "the output %s is the file of the model; name another directory", path);
  }
  e->replaces = tx_file_look(path).exists;
  if (e->options.replace || !e->replaces) return TX_OK;
  return tx_fail(error, TX_ERROR_INPUT,
                 "%s is there already; name another directory, or say that it may be replaced "
                 "(--replace)",
                 path);
}

tx_status tx_export_wrote(tx_exporting *e, const char *name, tx_error *error) {
  char path[4096];
  TX_TRY(tx_path_join(path, e->options.out, name, error));
  size_t at = e->report->file_count++;
  snprintf(e->report->files[at].name, sizeof e->report->files[at].name, "%s", name);
  e->report->files[at].bytes = tx_file_look(path).bytes;
  e->replaced[at] = e->replaces;
  return TX_OK;
}

tx_status tx_export_text(tx_exporting *e, const char *name, const char *text, size_t size,
                         tx_error *error) {
  char path[4096];
  TX_TRY(tx_export_path(e, name, path, error));
  TX_TRY(tx_file_write(path, text, size, error));
  return tx_export_wrote(e, name, error);
}

tx_status tx_export_json(tx_exporting *e, const char *name, json_t *object, tx_error *error) {
  char *text = object ? json_dumps(object, JSON_INDENT(2) | JSON_REAL_PRECISION(9)) : NULL;
  json_decref(object);
  tx_buffer line = {0};
  bool whole = text && tx_buffer_append_string(&line, text) && tx_buffer_append_byte(&line, '\n');
  free(text); /* jansson's */
  tx_status status = whole ? tx_export_text(e, name, line.data, line.size, error)
                           : tx_fail_memory(error, 1024, name);
  tx_buffer_free(&line);
  return status;
}

/* All of a new directory, and the new files of another. */
static void remove_written(const tx_exporting *e) {
  char path[4096];
  if (e->made_directory) tx_directory_remove(e->options.out);
  for (size_t i = 0; !e->made_directory && i < e->report->file_count; i++) {
    if (e->replaced[i]) continue;
    if (tx_path_join(path, e->options.out, e->report->files[i].name, NULL) == TX_OK) {
      tx_file_remove(path);
    }
  }
}

/* ---- tensors -------------------------------------------------------------- */

tx_status tx_export_read(tx_export_tensor *tensor, int64_t from, int64_t count, float *values,
                         tx_error *error) {
  tx_exporting *e = tensor->of;
  TX_TRY(tx_watch_check(e->watch, error));
  TX_TRY(tx_merged_read(&tensor->merged, from, count, values, error));
  e->done += count * tensor->merged.columns;
  tx_watch_report(e->watch, "export", e->done, e->total, "numbers");
  return TX_OK;
}

static tx_status read_rows(void *context, int64_t from, int64_t count, float *values,
                           tx_error *error) {
  return tx_export_read(context, from, count, values, error);
}

tx_status tx_export_tensors(tx_exporting *e, tx_export_tensor **tensors, size_t *count,
                            tx_error *error) {
  const tx_gguf *gguf = tx_model_gguf(e->model);
  size_t all = tx_gguf_tensor_count(gguf);
  *count = 0;
  *tensors = tx_arena_array(e->arena, all, sizeof **tensors);
  if (!*tensors) return tx_fail_memory(error, all * sizeof **tensors, "the tensors");
  for (size_t i = 0; i < all; i++) {
    tx_export_tensor *t = &(*tensors)[*count];
    TX_TRY(tx_merged_find(e->model, tx_gguf_tensor_at(gguf, i), &t->merged, error));
    if (t->merged.block >= e->depth) continue;
    e->report->changed += t->merged.changed;
    t->of = e;
    t->rows = (tx_rows){t->merged.rows, t->merged.columns, read_rows, t, t->merged.tensor->name};
    ++*count;
  }
  return TX_OK;
}

/* ---- the call ------------------------------------------------------------- */

static tx_status check_options(const char *what, const tx_export_options *options,
                               tx_error *error) {
  if (!what || !options->out || options->out[0] == '\0') {
    return tx_fail(error, TX_ERROR_ARGUMENT,
                   "exporting needs a classifier or a model, and a directory");
  }
  if ((int)options->to < 0 || options->to > TX_EXPORT_PEFT) {
    return tx_fail(error, TX_ERROR_ARGUMENT, "the form is %d; it must lie between 0 and %d",
                   (int)options->to, TX_EXPORT_PEFT);
  }
  return TX_OK;
}

static tx_status run(tx_exporting *e, const char *what, tx_error *error) {
  if (!e->arena) return tx_fail_memory(error, 64, "an export");
  TX_TRY(check_options(what, &e->options, error));
  TX_TRY(open_what(e, what, error));
  e->report->depth = (int)e->depth;
  bool there = tx_file_look(e->options.out).exists;
  TX_TRY(tx_directory_make(e->options.out, error));
  e->made_directory = !there;
  switch (e->options.to) {
    case TX_EXPORT_GGUF: return tx_export_gguf(e, error);
    case TX_EXPORT_SAFETENSORS: return tx_export_safetensors(e, error);
    default: return tx_export_peft(e, error);
  }
}

tx_status tx_export(const char *what, tx_export_options options, tx_export_report *report,
                    const tx_watch *watch, tx_error *error) {
  *report = (tx_export_report){0};
  tx_exporting e = {
      .options = options, .arena = tx_arena_new(), .report = report, .watch = watch};
  tx_status status = run(&e, what, error);
  if (status != TX_OK) remove_written(&e);
  tx_model_close(e.model);
  tx_classifier_close(e.classifier);
  tx_gguf_close(e.tuned);
  tx_arena_free(e.arena);
  return status;
}
