/* The formats with one row a line: TSV, in which nothing is quoted, and JSONL,
 * one object a line. */
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "formats/json.h"
#include "formats/nearest.h"
#include "formats/table_parts.h"

/* ---- TSV ---- */

static void split_at_tabs(tx_table_cells *cells, tx_text line) {
  const char *from = line.data, *end = line.data + line.size;
  for (;;) {
    const char *tab = from < end ? memchr(from, '\t', (size_t)(end - from)) : NULL;
    tx_table_cells_add(cells, from, (size_t)((tab ? tab : end) - from));
    if (!tab) return;
    from = tab + 1;
  }
}

/* Reads over a run of blank lines.  At the end of the file they mean nothing;
 * before a further row they are rows themselves where the table has one column
 * (the empty text), and a fault where it has more. */
static tx_status read_blanks(tx_table_input *input, tx_table_cells *cells, bool *found,
                             tx_error *error) {
  int64_t first = cells->line;
  do {
    cells->blanks++;
    TX_TRY(tx_table_line(input, &cells->held, found, error));
  } while (*found && cells->held.size == 0);
  if (!*found) return TX_OK;
  if (cells->columns != 1) {
    return tx_fail_line(error, TX_ERROR_INPUT, input->name, first,
                        cells->columns ? "the line is blank; remove it"
                                       : "the line is blank; the first line must name the columns");
  }
  cells->holding = true;
  return TX_OK;
}

tx_status tx_tsv_next(tx_table_input *input, tx_table_cells *cells, bool *found, tx_error *error) {
  *found = true;
  tx_text line = {"", 0};
  int64_t start = input->line;
  if (!cells->holding) {
    TX_TRY(tx_table_line(input, &line, found, error));
    if (!*found) return TX_OK;
    tx_table_cells_begin(cells, start);
    if (line.size == 0) {
      TX_TRY(read_blanks(input, cells, found, error));
      if (!*found) return TX_OK;
    }
  }
  if (cells->holding) {
    /* `held` is the line before the next to be read. */
    tx_table_cells_begin(cells, input->line - 1 - cells->blanks);
    if (cells->blanks > 0) {
      cells->blanks--;
    } else {
      line = cells->held;
      cells->holding = false;
    }
  }
  split_at_tabs(cells, line);
  return tx_table_cells_end(cells, input->name, error);
}

/* ---- JSONL ---- */

static tx_status fail_object(json_t *object, tx_text key, tx_table_input *input, int64_t line,
                             tx_error *error) {
  enum { KEYS = 64 };
  tx_text keys[KEYS];
  size_t count = 0;
  for (void *at = json_object_iter(object); at && count < KEYS;
       at = json_object_iter_next(object, at)) {
    keys[count++] = tx_text_of(json_object_iter_key(at));
  }
  if (count == 0) {
    return tx_fail_line(error, TX_ERROR_INPUT, input->name, line, "the object has no keys");
  }
  return tx_table_no_column(input->name, line, "key", key, keys, count, error);
}

/* The shortest spelling that reads back as the same number. */
static char *spell_real(json_t *value) {
  for (size_t digits = 15;; digits++) {
    char *spelled = json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(digits));
    if (!spelled || digits == 17) return spelled;
    json_t *again = json_loads(spelled, JSON_DECODE_ANY, NULL);
    double was = json_real_value(value), is = json_real_value(again);
    json_decref(again);
    if (!(was < is) && !(was > is)) return spelled;
    free(spelled);
  }
}

/* Several labels: joined, as a cell of the other formats has them. */
static tx_status join_strings(tx_table_cells *cells, size_t cell, json_t *array, const char *file,
                              tx_error *error) {
  tx_buffer joined = {0};
  tx_status status = TX_OK;
  char shown[TX_SHOWN_SIZE], separator = cells->wanted.separator;
  for (size_t i = 0; status == TX_OK && i < json_array_size(array); i++) {
    const json_t *item = json_array_get(array, i);
    tx_text text = {json_string_value(item), json_string_length(item)};
    if (!text.data) {
      status = tx_fail_line(error, TX_ERROR_INPUT, file, cells->line,
                            "the array '%s' holds what is no string; write labels in it",
                            tx_show_name(cells->wanted.names[cell], shown));
    } else if (memchr(text.data, separator, text.size)) {
      status = tx_fail_line(error, TX_ERROR_INPUT, file, cells->line,
                            "the label '%s' holds '%c', which separates labels; choose another "
                            "separator (--label-separator)",
                            tx_show_name(text, shown), separator);
    } else {
      if (i > 0) tx_buffer_append_byte(&joined, separator);
      tx_buffer_append(&joined, text.data, text.size);
    }
  }
  if (status == TX_OK && joined.failed) status = tx_fail_memory(error, joined.size, "the labels");
  if (status == TX_OK) tx_table_cells_set(cells, cell, joined.data, joined.size);
  tx_buffer_free(&joined);
  return status;
}

static tx_status set_cell(tx_table_cells *cells, size_t cell, json_t *value, const char *file,
                          tx_error *error) {
  json_type kind = json_typeof(value);
  if (kind == JSON_STRING) {
    tx_table_cells_set(cells, cell, json_string_value(value), json_string_length(value));
    return TX_OK;
  }
  if (kind == JSON_TRUE || kind == JSON_FALSE) {
    const char *word = kind == JSON_TRUE ? "true" : "false";
    tx_table_cells_set(cells, cell, word, strlen(word));
    return TX_OK;
  }
  bool any = cells->wanted.any[cell], number = kind == JSON_INTEGER || kind == JSON_REAL;
  bool array = cell > 0 && cell == cells->wanted.array;
  if (kind == JSON_ARRAY && array) return join_strings(cells, cell, value, file, error);
  if (cells->wanted.null[cell] && kind == JSON_NULL) return TX_OK;
  if (!any && !number) {
    char shown[TX_SHOWN_SIZE];
    return tx_fail_line(error, TX_ERROR_INPUT, file, cells->line,
                        "the value of '%s' is %s; it must be %sa string, a number or true or false",
                        tx_show_name(cells->wanted.names[cell], shown),
                        kind == JSON_NULL    ? "null"
                        : kind == JSON_ARRAY ? "an array"
                                             : "an object",
                        array ? "an array of strings, " : "");
  }
  const size_t flags = JSON_ENCODE_ANY | JSON_COMPACT;
  char *spelled = kind == JSON_REAL ? spell_real(value) : json_dumps(value, flags);
  if (!spelled) return tx_fail_memory(error, 32, "a value");
  tx_table_cells_set(cells, cell, spelled, strlen(spelled));
  free(spelled); /* jansson's own */
  return TX_OK;
}

static bool begins_array(tx_text line) {
  size_t at = 0;
  while (at < line.size && (line.data[at] == ' ' || line.data[at] == '\t')) at++;
  return at < line.size && line.data[at] == '[';
}

static tx_status read_object(tx_text line, const char *file, int64_t number, json_t **object,
                             tx_error *error) {
  static const size_t flags = JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL | JSON_DECODE_ANY;
  json_error_t why;
  if (!tx_json_read(line, flags, object, &why)) {
    return tx_fail_memory(error, line.size, "a JSON object");
  }
  if (*object) return TX_OK;
  if (begins_array(line)) {
    return tx_fail_line(error, TX_ERROR_INPUT, file, number,
                        "the line begins a JSON array; write one object a line");
  }
  char shown[TX_SHOWN_SIZE];
  return tx_fail_line(error, TX_ERROR_INPUT, file, number,
                      "not a JSON object on one line: %s (near byte %d)",
                      tx_show_name(tx_text_of(why.text), shown), why.position);
}

static tx_status take_object(json_t *object, tx_table_input *input, tx_table_cells *cells,
                             tx_error *error) {
  if (json_typeof(object) != JSON_OBJECT) {
    return tx_fail_line(error, TX_ERROR_INPUT, input->name, cells->line,
                        "the line is a JSON %s; write one object a line",
                        json_typeof(object) == JSON_ARRAY ? "array" : "value");
  }
  for (size_t i = 0; i < cells->wanted.count; i++) {
    tx_text key = cells->wanted.names[i];
    json_t *value = json_object_get(object, key.data);
    if (value) {
      TX_TRY(set_cell(cells, i, value, input->name, error));
    } else if (!cells->wanted.optional[i]) {
      return fail_object(object, key, input, cells->line, error);
    }
  }
  if (cells->bytes.failed) return tx_fail_memory(error, cells->bytes.size, "a row");
  return TX_OK;
}

static bool is_blank(tx_text line) {
  for (size_t i = 0; i < line.size; i++) {
    if (line.data[i] != ' ' && line.data[i] != '\t' && line.data[i] != '\r') return false;
  }
  return true;
}

tx_status tx_jsonl_next(tx_table_input *input, tx_table_cells *cells, bool *found,
                        tx_error *error) {
  tx_text line;
  int64_t start;
  do {
    start = input->line;
    TX_TRY(tx_table_line(input, &line, found, error));
    if (!*found) return TX_OK;
  } while (is_blank(line));
  tx_table_cells_begin(cells, start);
  json_t *object;
  TX_TRY(read_object(line, input->name, start, &object, error));
  tx_status status = take_object(object, input, cells, error);
  json_decref(object);
  return status;
}
