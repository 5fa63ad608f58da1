/* Tables row by row, behind one interface: which columns are asked for, and the
 * text of a row.  How a file begins is left to table_start.c, the formats to
 * table_csv.c and table_lines.c. */
#include <string.h>

#include "base/memory.h"
#include "formats/nearest.h"
#include "formats/table.h"
#include "formats/table_parts.h"

struct tx_table {
  tx_table_input input;
  tx_table_cells cells;
  tx_table_format format;
  tx_csv *csv;
  char *names;             /* the option strings the wanted names point into */
  size_t texts, label, id; /* cells: texts first; the others are 0 where not asked for */
  tx_buffer joined;
};

tx_table_options tx_table_defaults(void) {
  return (tx_table_options){.text = "text", .label = "label", .id = NULL, .format = NULL};
}

/* ---- which columns ---- */

tx_status tx_label_separator_check(const char *separator, tx_error *error) {
  char byte = separator[0];
  if (byte && !separator[1] && (unsigned char)byte < 0x80 && byte != ' ' && byte != '\n' &&
      byte != '\r') {
    return TX_OK;
  }
  return tx_fail(error, TX_ERROR_ARGUMENT,
                 "the separator of labels must be one ASCII character, no space and no line's end");
}

static size_t want(tx_table *table, const char *name, bool optional) {
  tx_table_wanted *wanted = &table->cells.wanted;
  wanted->names[wanted->count] = tx_text_of(name);
  wanted->optional[wanted->count] = optional;
  table->cells.next[wanted->count] = -1;
  return wanted->count++;
}

static tx_status want_texts(tx_table *table, char *list, tx_error *error) {
  for (char *name = list; name;) {
    char *comma = strchr(name, ',');
    if (comma) *comma = '\0';
    if (!*name) {
      return tx_fail(error, TX_ERROR_ARGUMENT,
                     "a name of a text column is empty; give names joined by commas");
    }
    if (table->texts == TX_TABLE_TEXTS) {
      return tx_fail(error, TX_ERROR_ARGUMENT, "more than %d text columns are asked for",
                     TX_TABLE_TEXTS);
    }
    want(table, name, false);
    table->texts++;
    name = comma ? comma + 1 : NULL;
  }
  return TX_OK;
}

/* The names are copied, one after another, each with its NUL. */
static tx_status want_columns(tx_table *table, const tx_table_options *options, tx_error *error) {
  const char *given[3] = {options->text ? options->text : "text", options->label,
                          options->id ? options->id : "id"};
  char *copies[3] = {NULL, NULL, NULL};
  size_t sizes[3] = {0, 0, 0}, total = 0;
  for (int i = 0; i < 3; i++) {
    if (given[i]) total += sizes[i] = strlen(given[i]) + 1;
  }
  char *at = table->names = tx_alloc(total);
  if (!at) return tx_fail_memory(error, total, "names of columns");
  for (int i = 0; i < 3; i++) {
    if (given[i]) copies[i] = memcpy(at, given[i], sizes[i]);
    at += sizes[i];
  }
  bool no_label = given[1] && !*given[1];
  if (no_label || !*given[2]) {
    return tx_fail(error, TX_ERROR_ARGUMENT, "the name of the %s column is empty",
                   no_label ? "label" : "id");
  }
  TX_TRY(want_texts(table, copies[0], error));
  if (copies[1]) table->label = want(table, copies[1], false);
  if (options->label_separator) {
    TX_TRY(tx_label_separator_check(options->label_separator, error));
    table->cells.wanted.array = table->label;
    table->cells.wanted.separator = options->label_separator[0];
  }
  table->id = want(table, copies[2], options->id == NULL);
  return TX_OK;
}

/* ---- opening, reading ---- */

static tx_status next_row(tx_table *table, bool *found, tx_error *error) {
  if (table->format == TX_TABLE_CSV) {
    return tx_csv_next(table->csv, &table->input, &table->cells, found, error);
  }
  return (table->format == TX_TABLE_TSV ? tx_tsv_next : tx_jsonl_next)(&table->input, &table->cells,
                                                                       found, error);
}

/* The columns are known. */
static tx_status open_input(tx_table *table, const char *path, const char *format,
                            tx_error *error) {
  if (format) TX_TRY(tx_table_format_named(format, &table->format, error));
  TX_TRY(tx_stream_open(path, &table->input.stream, error));
  table->input.name = tx_stream_name(table->input.stream);
  table->input.line = 1;
  table->input.chunk = tx_alloc(TX_TABLE_CHUNK);
  if (!table->input.chunk) return tx_fail_memory(error, TX_TABLE_CHUNK, "reading a table");
  TX_TRY(tx_table_start(&table->input, error));
  if (!format) table->format = tx_table_format_found(path, &table->input);
  if (table->format != TX_TABLE_CSV) TX_TRY(tx_table_refuse_returns(&table->input, error));
  if (table->format == TX_TABLE_JSONL) return TX_OK;
  if (table->format == TX_TABLE_CSV) TX_TRY(tx_csv_new(&table->csv, error));
  bool found;
  TX_TRY(next_row(table, &found, error));
  if (!found) {
    return tx_fail_line(error, TX_ERROR_INPUT, table->input.name, 1,
                        "the file is empty; its first line must name the columns");
  }
  return TX_OK;
}

static tx_status open_table(tx_table *table, const char *path, const tx_table_options *options,
                            tx_error *error) {
  TX_TRY(want_columns(table, options, error));
  return open_input(table, path, options->format, error);
}

/* The names live as long as the table. */
static tx_status open_columns(tx_table *table, const char *path, const char *format,
                              const tx_table_column *columns, size_t count, tx_error *error) {
  if (count > TX_TABLE_CELLS) {
    return tx_fail(error, TX_ERROR_ARGUMENT, "more than %d columns are asked for", TX_TABLE_CELLS);
  }
  for (size_t i = 0; i < count; i++) {
    if (!*columns[i].name) {
      return tx_fail(error, TX_ERROR_ARGUMENT, "the name of a column is empty");
    }
    size_t cell = want(table, columns[i].name, columns[i].optional);
    table->cells.wanted.any[cell] = columns[i].any;
    table->cells.wanted.null[cell] = columns[i].null;
  }
  return open_input(table, path, format, error);
}

static tx_status new_table(const char *path, tx_table **table, tx_error *error) {
  *table = NULL;
  if (!path) return tx_fail(error, TX_ERROR_ARGUMENT, "no table is named");
  *table = tx_alloc_zero(1, sizeof **table);
  return *table ? TX_OK : tx_fail_memory(error, sizeof **table, "a table");
}

static tx_status opened(tx_status status, tx_table **table) {
  if (status == TX_OK) return TX_OK;
  tx_table_close(*table);
  *table = NULL;
  return status;
}

tx_status tx_table_open(const char *path, tx_table_options options, tx_table **table,
                        tx_error *error) {
  TX_TRY(new_table(path, table, error));
  return opened(open_table(*table, path, &options, error), table);
}

tx_status tx_table_open_columns(const char *path, const char *format,
                                const tx_table_column *columns, size_t count, tx_table **table,
                                tx_error *error) {
  TX_TRY(new_table(path, table, error));
  return opened(open_columns(*table, path, format, columns, count, error), table);
}

static tx_text cell_text(const tx_table *table, size_t cell) {
  const tx_table_cell *at = &table->cells.cells[cell];
  if (!at->there) return (tx_text){NULL, 0};
  return (tx_text){at->size ? table->cells.bytes.data + at->at : "", at->size};
}

static tx_status join_texts(tx_table *table, tx_text *text, tx_error *error) {
  if (table->texts == 1) {
    *text = cell_text(table, 0);
    return TX_OK;
  }
  tx_buffer_clear(&table->joined);
  for (size_t i = 0; i < table->texts; i++) {
    tx_text part = cell_text(table, i);
    if (i > 0) tx_buffer_append_byte(&table->joined, '\n');
    tx_buffer_append(&table->joined, part.data, part.size);
  }
  if (table->joined.failed) return tx_fail_memory(error, table->joined.size, "a row");
  *text = (tx_text){table->joined.data, table->joined.size};
  return TX_OK;
}

tx_status tx_table_next(tx_table *table, tx_row *row, bool *found, tx_error *error) {
  *row = (tx_row){0};
  *found = false;
  TX_TRY(next_row(table, found, error));
  if (!*found) return TX_OK;
  *found = false;
  TX_TRY(join_texts(table, &row->text, error));
  *found = true;
  row->line = table->cells.line;
  row->odd = row->text.size > 0 && (memchr(row->text.data, '\0', row->text.size) != NULL ||
                                    !tx_is_utf8(row->text));
  if (table->label) row->label = cell_text(table, table->label);
  row->id = cell_text(table, table->id);
  return TX_OK;
}

tx_status tx_table_next_cells(tx_table *table, tx_text *cells, int64_t *line, bool *found,
                              tx_error *error) {
  *found = false;
  TX_TRY(next_row(table, found, error));
  *line = table->cells.line;
  for (size_t i = 0; *found && i < table->cells.wanted.count; i++) cells[i] = cell_text(table, i);
  return TX_OK;
}

const char *tx_table_name(const tx_table *table) { return table->input.name; }

void tx_table_close(tx_table *table) {
  if (!table) return;
  tx_csv_free(table->csv);
  tx_stream_close(table->input.stream);
  tx_free(table->input.chunk);
  tx_buffer_free(&table->input.carry);
  tx_buffer_free(&table->cells.bytes);
  tx_buffer_free(&table->cells.names);
  tx_buffer_free(&table->cells.ends);
  tx_free(table->cells.slots);
  tx_buffer_free(&table->joined);
  tx_free(table->names);
  tx_free(table);
}
