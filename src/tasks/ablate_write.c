/* The report as text and as JSON, and its files. */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tasks/ablate.h"

/* ---- JSON -------------------------------------------------------------------- */

/* Puts a new value, which may be NULL for lack of memory; false then, or if it was already. */
static void put(bool *whole, json_t *object, const char *key, json_t *value) {
  if (json_object_set_new(object, key, value) != 0) *whole = false;
}

/* A model's name may be any bytes: what JSON cannot hold is left out. */
static json_t *text_json(const char *text) {
  json_t *value = json_string(text);
  return value ? value : json_string("");
}

static json_t *score_json(const tx_ablation_score *of) {
  return json_pack("{sf sf sf}", "mean", of->mean, "lo", of->lo, "hi", of->hi);
}

static json_t *published_json(const tx_ablation_row *row) {
  return json_pack("{sf sf sf sf}", "train", row->published_train, "validation",
                   row->published_validation, "test", row->published_test, "seconds",
                   row->published_seconds);
}

static json_t *row_json(const tx_ablation_row *row, bool *whole) {
  json_t *object = json_object();
  bool run = row->seeds > 0;
  put(whole, object, "row", json_integer(row->number));
  put(whole, object, "name", json_string(row->name));
  put(whole, object, "changed", json_string(row->changed));
  put(whole, object, "model", text_json(row->model));
  put(whole, object, "skipped", row->skipped ? json_string(row->skipped) : json_null());
  if (row->same_as > 0) put(whole, object, "same_as", json_integer(row->same_as));
  put(whole, object, "trained_parameters",
      run ? json_integer(row->trained_parameters) : json_null());
  put(whole, object, "train", run ? score_json(&row->train) : json_null());
  put(whole, object, "validation", run ? score_json(&row->validation) : json_null());
  put(whole, object, "test", run ? score_json(&row->test) : json_null());
  put(whole, object, "seconds", run ? json_real(row->seconds) : json_null());
  put(whole, object, "trunk_seconds", run ? json_real(row->trunk_seconds) : json_null());
  put(whole, object, "cached", json_boolean(row->cached));
  put(whole, object, "seeds", json_integer(row->seeds));
  put(whole, object, "published", published_json(row));
  put(whole, object, "against", row->against > 0 ? json_integer(row->against) : json_null());
  put(whole, object, "difference", row->against > 0 ? score_json(&row->difference) : json_null());
  put(whole, object, "lesson", json_string(row->lesson));
  return object;
}

static json_t *report_json(const tx_ablation *a, bool *whole) {
  const tx_ablation_options *o = a->options;
  json_t *object = json_object(), *rows = json_array();
  for (size_t i = 0; i < a->report->row_count; i++) {
    if (json_array_append_new(rows, row_json(&a->report->rows[i], whole)) != 0) *whole = false;
  }
  put(whole, object, "model", text_json(o->model));
  put(whole, object, "model_sha256", json_string(a->base.sha256));
  put(whole, object, "train_rows", json_integer(a->train->rows));
  put(whole, object, "validation_rows", json_integer(a->validation->rows));
  put(whole, object, "test_rows", json_integer(a->test->rows));
  put(whole, object, "longest", json_integer(a->base.longest));
  put(whole, object, "epochs", json_integer(o->epochs));
  put(whole, object, "batch", json_integer(o->batch));
  put(whole, object, "learning_rate", json_real(o->learning_rate));
  put(whole, object, "seed", json_integer((json_int_t)o->seed));
  put(whole, object, "rows", rows);
  return object;
}

static tx_status make_json(tx_ablation *a, tx_error *error) {
  bool whole = true;
  json_t *object = report_json(a, &whole);
  char *text = whole ? json_dumps(object, JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(15)) : NULL;
  json_decref(object);
  a->report->json = text ? tx_arena_string(a->arena, text, strlen(text)) : NULL;
  free(text); /* jansson's own */
  return a->report->json ? TX_OK : tx_fail_memory(error, 4096, "the report");
}

/* ---- text ---------------------------------------------------------------------- */

enum { COLUMNS = 10, CELL = 64 };
typedef char cells[COLUMNS][CELL];

static void show_share(double share, char cell[CELL]) { snprintf(cell, CELL, "%.2f", 100 * share); }

/* 1.2K, 3.5M: of so many parameters the first figures matter. */
static void show_count(int64_t count, char cell[CELL]) {
  if (count < 10000) {
    snprintf(cell, CELL, "%" PRId64, count);
  } else if (count < 1000000) {
    snprintf(cell, CELL, "%.1fK", (double)count / 1e3);
  } else {
    snprintf(cell, CELL, "%.1fM", (double)count / 1e6);
  }
}

static void show_time(double seconds, bool cached, char cell[CELL]) {
  const char *mark = cached ? "*" : "";
  if (seconds < 60) {
    snprintf(cell, CELL, "%.1f s%s", seconds, mark);
  } else {
    snprintf(cell, CELL, "%.1f min%s", seconds / 60, mark);
  }
}

static void fill_cells(const tx_ablation_row *row, cells to) {
  static const char *const heading[COLUMNS] = {
      "row",  "what is changed", "trained", "train", "val",
      "test", "95 % interval",   "time",    "seeds", "book"};
  for (int i = 0; i < COLUMNS; i++) snprintf(to[i], CELL, "%s", row ? "" : heading[i]);
  if (!row) return;
  snprintf(to[0], CELL, "%d", row->number);
  snprintf(to[1], CELL, "%s", row->changed);
  show_share(row->published_test, to[9]);
  if (row->seeds == 0) return;
  show_count(row->trained_parameters, to[2]);
  show_share(row->train.mean, to[3]), show_share(row->validation.mean, to[4]);
  show_share(row->test.mean, to[5]);
  snprintf(to[6], CELL, "%.2f to %.2f", 100 * row->test.lo, 100 * row->test.hi);
  show_time(row->seconds, row->cached, to[7]);
  snprintf(to[8], CELL, "%d", row->seeds);
}

static void add_line(tx_buffer *text, cells of, const size_t *widths) {
  for (int c = 0; c < COLUMNS; c++) {
    bool left = c == 1;
    tx_buffer_format(text, left ? "%s%-*s" : "%s%*s", c ? "  " : "", (int)widths[c], of[c]);
  }
  while (text->size > 0 && text->data[text->size - 1] == ' ') text->data[--text->size] = '\0';
  tx_buffer_append_byte(text, '\n');
}

static void add_table(const tx_ablation *a, tx_buffer *text) {
  size_t widths[COLUMNS] = {0};
  cells line;
  for (int pass = 0; pass < 2; pass++) {
    for (size_t i = 0; i <= a->report->row_count; i++) {
      fill_cells(i == 0 ? NULL : &a->report->rows[i - 1], line);
      for (int c = 0; c < COLUMNS && pass == 0; c++) {
        size_t size = strlen(line[c]);
        widths[c] = size > widths[c] ? size : widths[c];
      }
      if (pass == 1) add_line(text, line, widths);
    }
  }
}

/* A paragraph behind "row 4: ", in lines of up to 100 columns. */
static void add_paragraph(tx_buffer *text, int number, const char *words) {
  enum { WIDTH = 100, INDENT = 8 };
  size_t at = INDENT - 1;
  tx_buffer_format(text, "row %d:%s", number, number < 10 ? " " : "");
  while (*words) {
    size_t size = strcspn(words, " ");
    if (at > INDENT && at + 1 + size > WIDTH) {
      tx_buffer_format(text, "\n%*s", INDENT - 1, "");
      at = INDENT - 1;
    }
    tx_buffer_append_byte(text, ' ');
    tx_buffer_append(text, words, size);
    at += 1 + size;
    words += size + (words[size] == ' ');
  }
  tx_buffer_append_byte(text, '\n');
}

static void add_lessons(const tx_ablation *a, tx_buffer *text) {
  bool cached = false;
  tx_buffer_append_byte(text, '\n');
  for (size_t i = 0; i < a->report->row_count; i++) {
    const tx_ablation_row *row = &a->report->rows[i];
    cached |= row->cached;
    if (row->skipped) {
      char words[128];
      snprintf(words, sizeof words, "Not run: %s.", row->skipped);
      add_paragraph(text, row->number, words);
    } else if (row->lesson[0]) {
      add_paragraph(text, row->number, row->lesson);
    }
  }
  if (cached) {
    tx_buffer_append_string(text,
                            "\n* Without the states that the frozen blocks give: they were "
                            "there already.\n");
  }
}

static void add_head(const tx_ablation *a, tx_buffer *text) {
  const tx_ablation_options *o = a->options;
  tx_buffer_format(text,
                   "%s: %" PRId64 " texts for training, %" PRId64 " for validation, %" PRId64
                   " for testing; padded to %" PRId64
                   " tokens;\n%d epoch%s of batch %d at %g; "
                   "seeds from %" PRIu64 ".  Accuracy in per cent; book: GPT-2, test.\n\n",
                   o->model, a->train->rows, a->validation->rows, a->test->rows, a->base.longest,
                   o->epochs, o->epochs == 1 ? "" : "s", o->batch, o->learning_rate, o->seed);
}

static tx_status make_text(tx_ablation *a, tx_error *error) {
  tx_buffer text = {0};
  add_head(a, &text);
  add_table(a, &text);
  add_lessons(a, &text);
  a->report->text = text.failed ? NULL : tx_arena_string(a->arena, text.data, text.size);
  tx_buffer_free(&text);
  return a->report->text ? TX_OK : tx_fail_memory(error, 4096, "the report");
}

/* ---- files ---------------------------------------------------------------------- */

static tx_status write_file(const tx_ablation *a, const char *name, const char *text,
                            tx_error *error) {
  char path[TX_PATH_SIZE];
  TX_TRY(tx_path_join(path, a->options->out, name, error));
  return tx_file_write(path, text, strlen(text), error);
}

static tx_status write_page(const tx_ablation *a, tx_error *error) {
  tx_buffer page = {0};
  tx_ablation_page(a, &page);
  tx_status status = page.failed || !page.data ? tx_fail_memory(error, page.size, "the page")
                                               : write_file(a, "index.html", page.data, error);
  tx_buffer_free(&page);
  return status;
}

tx_status tx_ablation_write(tx_ablation *a, tx_error *error) {
  TX_TRY(make_json(a, error));
  TX_TRY(make_text(a, error));
  TX_TRY(write_file(a, "report.json", a->report->json, error));
  TX_TRY(write_file(a, "report.txt", a->report->text, error));
  return write_page(a, error);
}
