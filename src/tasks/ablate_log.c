/* rows.jsonl: a first line of facts that all trainings share, then a line for each, added
 * once it is measured.  What a kill left of a last line is cut off. */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/json.h"
#include "tasks/ablate.h"

enum { FACTS = 9, VALUE = 72 };

/* ---- facts ---------------------------------------------------------------- */

typedef struct {
  const char *name;
  char value[VALUE];
} fact;

/* What decides the figures of every row, under the name by which the user gave it. */
static void fill_facts(const tx_ablation *a, fact facts[FACTS]) {
  const tx_ablation_options *o = a->options;
  const char *const texts[][2] = {{"taxon", tx_version()},
                                  {"a model with SHA-256", a->base.sha256},
                                  {"training rows with SHA-256", a->train->sha256},
                                  {"validation rows with SHA-256", a->validation->sha256},
                                  {"test rows with SHA-256", a->test->sha256}};
  const struct {
    const char *name;
    double value;
  } numbers[] = {{"--epochs", o->epochs},
                 {"--batch", o->batch},
                 {"--lr", o->learning_rate},
                 {"--context", (double)o->context}};
  size_t count = 0;
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
    facts[count].name = texts[i][0];
    snprintf(facts[count++].value, VALUE, "%s", texts[i][1]);
  }
  for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
    facts[count].name = numbers[i].name;
    snprintf(facts[count++].value, VALUE, "%.15g", numbers[i].value);
  }
  _Static_assert(sizeof texts / sizeof *texts + sizeof numbers / sizeof *numbers == FACTS, "all");
}

static tx_status compare_facts(const tx_ablation *a, const json_t *there, const char *path,
                               tx_error *error) {
  fact facts[FACTS];
  fill_facts(a, facts);
  for (int i = 0; i < FACTS; i++) {
    const char *value = json_string_value(json_object_get(there, facts[i].name));
    if (!value) {
      return tx_fail_line(error, TX_ERROR_INPUT, path, 1,
                          "says nothing of %s; is it of another version? name another directory "
                          "with --out",
                          facts[i].name);
    }
    if (strcmp(value, facts[i].value) == 0) continue;
    return tx_fail(error, TX_ERROR_INPUT,
                   "the rows in %s had %s %.72s, and this call has %s; go on as it was started, or "
                   "name another directory with --out",
                   a->options->out, facts[i].name, value, facts[i].value);
  }
  return TX_OK;
}

/* ---- lines ---------------------------------------------------------------- */

/* Takes the object; NULL: there was no memory for it. */
static tx_status add_line(tx_ablation *a, json_t *object, tx_error *error) {
  char *text =
      object ? json_dumps(object, JSON_COMPACT | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(17))
             : NULL;
  tx_buffer whole = {0};
  json_decref(object);
  tx_status status;
  if (text && tx_buffer_append_string(&whole, text) && tx_buffer_append_byte(&whole, '\n')) {
    status = tx_appender_add(a->log, whole.data, whole.size, error);
  } else {
    status = tx_fail_memory(error, 1024, "a row");
  }
  tx_buffer_free(&whole);
  free(text); /* jansson's own */
  return status;
}

static tx_status add_facts(tx_ablation *a, tx_error *error) {
  fact facts[FACTS];
  json_t *object = json_object();
  fill_facts(a, facts);
  for (int i = 0; i < FACTS; i++) {
    if (json_object_set_new(object, facts[i].name, json_string(facts[i].value)) == 0) continue;
    json_decref(object);
    object = NULL;
    break;
  }
  return add_line(a, object, error);
}

static tx_status keep(tx_ablation *a, const tx_ablation_record *record, tx_error *error) {
  if (a->record_count == a->record_room) {
    size_t room = a->record_room > 0 ? 2 * a->record_room : 64;
    tx_ablation_record *more = tx_arena_array(a->arena, room, sizeof *more);
    if (!more) return tx_fail_memory(error, room * sizeof *more, "the rows");
    if (a->record_count > 0) memcpy(more, a->records, a->record_count * sizeof *more);
    a->records = more, a->record_room = room;
  }
  a->records[a->record_count++] = *record;
  return TX_OK;
}

tx_status tx_ablation_log_add(tx_ablation *a, const tx_ablation_record *r, tx_error *error) {
  json_t *line = json_pack(
      "{si sI ss sI sI sI si si sf sf sf sf ss}", "row", r->row, "seed", (json_int_t)r->seed,
      "model", r->model, "trained_parameters", (json_int_t)r->trained_parameters, "cached_texts",
      (json_int_t)r->cached_texts, "computed_texts", (json_int_t)r->computed_texts, "epochs",
      r->epochs, "best_epoch", r->best_epoch, "train", r->train, "validation", r->validation,
      "seconds", r->seconds, "trunk_seconds", r->trunk_seconds, "right", r->right);
  TX_TRY(add_line(a, line, error));
  return keep(a, r, error);
}

const tx_ablation_record *tx_ablation_log_find(const tx_ablation *a, int row, uint64_t seed) {
  for (size_t i = 0; i < a->record_count; i++) {
    if (a->records[i].row == row && a->records[i].seed == seed) return &a->records[i];
  }
  return NULL;
}

/* ---- reading -------------------------------------------------------------- */

static bool is_share(double value) { return value >= 0 && value <= 1; }

static bool is_time(double value) { return value >= 0 && value < 1e12; }

/* As many marks as there are test rows. */
static bool are_marks(const tx_ablation *a, const char *right) {
  return right && strlen(right) == (size_t)a->test->rows &&
         strspn(right, "01") == (size_t)a->test->rows;
}

/* False: the object is no training of these rows. */
static bool take_record(tx_ablation *a, json_t *object, tx_ablation_record *r) {
  json_int_t row, seed, parameters, cached, computed, epochs, best;
  const char *model, *right;
  *r = (tx_ablation_record){0};
  if (json_unpack(object, "{sI sI ss sI sI sI sI sI sF sF sF sF ss}", "row", &row, "seed", &seed,
                  "model", &model, "trained_parameters", &parameters, "cached_texts", &cached,
                  "computed_texts", &computed, "epochs", &epochs, "best_epoch", &best, "train",
                  &r->train, "validation", &r->validation, "seconds", &r->seconds, "trunk_seconds",
                  &r->trunk_seconds, "right", &right) != 0) {
    return false;
  }
  if (row < 1 || row > TX_ABLATION_ROWS || parameters < 0 || cached < 0 || computed < 0 ||
      epochs < 0 || epochs > INT32_MAX || best < 0 || best > epochs || !is_share(r->train) ||
      !is_share(r->validation) || !is_time(r->seconds) || !is_time(r->trunk_seconds) ||
      strlen(model) != 64 || !are_marks(a, right)) {
    return false;
  }
  r->row = (int)row, r->seed = (uint64_t)seed, r->trained_parameters = parameters;
  r->cached_texts = cached, r->computed_texts = computed, r->epochs = (int)epochs,
  r->best_epoch = (int)best;
  r->model = tx_arena_string(a->arena, model, 64);
  r->right = tx_arena_string(a->arena, right, (size_t)a->test->rows);
  return true;
}

/* A row of which an earlier call took another model: its figures are not this one's. */
static tx_status compare_model(tx_ablation *a, const tx_ablation_record *r, tx_error *error) {
  const tx_ablation_model *model = tx_ablation_model_of(a, tx_ablation_recipe_of(r->row)->size);
  if (!a->needed[r->row] || !model || strcmp(model->sha256, r->model) == 0) return TX_OK;
  return tx_fail(error, TX_ERROR_INPUT,
                 "row %d in %s is of a model with SHA-256 %.12s..., and now %.200s has its place; "
                 "name the models as before, or another directory with --out",
                 r->row, a->options->out, r->model, model->name);
}

static tx_status read_line(tx_ablation *a, const char *path, int64_t number, tx_text line,
                           tx_error *error) {
  json_t *object;
  json_error_t why;
  tx_ablation_record record;
  if (!tx_json_read(line, JSON_REJECT_DUPLICATES, &object, &why)) {
    return tx_fail_memory(error, line.size, "a row");
  }
  tx_status status = TX_OK;
  if (!object || (number > 1 && !take_record(a, object, &record))) {
    status = tx_fail_line(error, TX_ERROR_INPUT, path, number,
                          "is no training of this table; delete the line to train it again");
  } else if (number == 1) {
    status = compare_facts(a, object, path, error);
  } else if (!record.model || !record.right) {
    status = tx_fail_memory(error, line.size, "a row");
  } else {
    status = compare_model(a, &record, error);
    if (status == TX_OK) status = keep(a, &record, error);
  }
  json_decref(object);
  return status;
}

/* `kept`: the bytes of whole lines. */
static tx_status read_lines(tx_ablation *a, const char *path, uint64_t *kept, tx_error *error) {
  tx_map map;
  tx_status status = TX_OK;
  *kept = 0;
  if (!tx_file_look(path).exists) return TX_OK;
  TX_TRY(tx_map_open(path, &map, error));
  for (int64_t number = 1; status == TX_OK && *kept < map.size; number++) {
    const char *line = (const char *)map.data + *kept;
    const char *end = memchr(line, '\n', map.size - *kept);
    if (!end) break;
    status = read_line(a, path, number, (tx_text){line, (size_t)(end - line)}, error);
    *kept += (uint64_t)(end - line) + 1;
  }
  tx_map_close(&map);
  return status;
}

tx_status tx_ablation_log_open(tx_ablation *a, tx_error *error) {
  char path[TX_PATH_SIZE];
  uint64_t kept;
  TX_TRY(tx_path_join(path, a->options->out, "rows.jsonl", error));
  TX_TRY(read_lines(a, path, &kept, error));
  TX_TRY(tx_appender_open(path, kept, &a->log, error));
  return kept == 0 ? add_facts(a, error) : TX_OK;
}
