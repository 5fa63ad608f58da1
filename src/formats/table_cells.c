/* The cells of a row, and the header in which the wanted columns are found. */
#include <inttypes.h>
#include <string.h>

#include "base/memory.h"
#include "formats/nearest.h"
#include "formats/table_parts.h"

void tx_table_cells_begin(tx_table_cells *cells, int64_t line) {
  cells->line = line;
  cells->fields = 0;
  tx_buffer_clear(&cells->bytes);
  for (size_t i = 0; i < cells->wanted.count; i++) cells->cells[i].there = false;
}

void tx_table_cells_set(tx_table_cells *cells, size_t cell, const char *data, size_t size) {
  cells->cells[cell] = (tx_table_cell){true, cells->bytes.size, size};
  tx_buffer_append(&cells->bytes, data, size);
}

void tx_table_cells_add(tx_table_cells *cells, const char *data, size_t size) {
  size_t column = cells->fields++;
  if (cells->columns == 0) {
    tx_buffer_append(&cells->names, data, size);
    tx_buffer_append(&cells->ends, &cells->names.size, sizeof cells->names.size);
    return;
  }
  if (column >= cells->columns) return;
  for (int64_t i = cells->slots[column]; i >= 0; i = cells->next[i]) {
    tx_table_cells_set(cells, (size_t)i, data, size);
  }
}

/* A header of one column that holds what often separates columns. */
static const char *about_separator(const tx_text *names, size_t count) {
  if (count != 1 || names[0].size == 0) return "";
  static const struct {
    char letter;
    const char *advice;
  } known[] = {
      {'\t', "; if tabs separate them, say --format tsv"},
      {';', "; if ';' separates them, write commas instead, and quote what holds a comma"},
      {',', "; if commas separate them, say --format csv"},
      {'|', "; if '|' separates them, write commas instead, and quote what holds a comma"}};
  for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
    if (memchr(names[0].data, known[i].letter, names[0].size)) return known[i].advice;
  }
  return "";
}

tx_status tx_table_no_column(const char *file, int64_t line, const char *what, tx_text name,
                             const tx_text *names, size_t count, tx_error *error) {
  char asked[TX_SHOWN_SIZE], near[TX_SHOWN_SIZE];
  const char *separator = strcmp(what, "column") == 0 ? about_separator(names, count) : "";
  int nearest = *separator ? -1 : tx_nearest(name, names, count);
  tx_buffer list = {0};
  tx_show_names(names, count, 360, &list);
  tx_status status = tx_fail_line(
      error, TX_ERROR_INPUT, file, line, "there is no %s '%s'; the %ss are: %s%s%s%s%s", what,
      tx_show_name(name, asked), what, list.data ? list.data : "",
      nearest >= 0 ? "; did you mean '" : "",
      nearest >= 0 ? tx_show_name(names[nearest], near) : "", nearest >= 0 ? "'?" : "", separator);
  tx_buffer_free(&list);
  return status;
}

static bool same(tx_text a, tx_text b) {
  return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

/* Looks one wanted column up and puts its cell into that column's list. */
static tx_status find_column(tx_table_cells *cells, size_t cell, const tx_text *names,
                             const char *file, tx_error *error) {
  tx_text name = cells->wanted.names[cell];
  size_t place = cells->columns;
  for (size_t i = 0; i < cells->columns; i++) {
    if (!same(names[i], name)) continue;
    if (place < cells->columns) {
      if (cells->wanted.optional[cell]) return TX_OK; /* nobody asked for it */
      char shown[TX_SHOWN_SIZE];
      return tx_fail_line(error, TX_ERROR_INPUT, file, cells->line,
                          "the columns %zu and %zu are both called '%s'; rename one", place + 1,
                          i + 1, tx_show_name(name, shown));
    }
    place = i;
  }
  if (place == cells->columns) {
    if (cells->wanted.optional[cell]) return TX_OK;
    return tx_table_no_column(file, cells->line, "column", name, names, cells->columns, error);
  }
  cells->next[cell] = cells->slots[place];
  cells->slots[place] = (int64_t)cell;
  return TX_OK;
}

static tx_status take_header(tx_table_cells *cells, const char *file, tx_error *error) {
  size_t count = cells->fields;
  tx_text *names = tx_alloc_array(count, sizeof *names);
  cells->slots = tx_alloc_array(count, sizeof *cells->slots);
  tx_status status = TX_OK;
  if (!names || !cells->slots || cells->names.failed || cells->ends.failed) {
    status = tx_fail_memory(error, count * sizeof *names, "the names of columns");
  }
  if (status == TX_OK) {
    size_t from = 0;
    for (size_t i = 0; i < count; i++) {
      size_t end;
      memcpy(&end, cells->ends.data + i * sizeof end, sizeof end);
      names[i] = (tx_text){cells->names.data + from, end - from};
      cells->slots[i] = -1;
      from = end;
    }
    cells->columns = count;
  }
  for (size_t i = 0; status == TX_OK && i < cells->wanted.count; i++) {
    status = find_column(cells, i, names, file, error);
  }
  tx_free(names);
  tx_buffer_free(&cells->names);
  tx_buffer_free(&cells->ends);
  return status;
}

tx_status tx_table_cells_end(tx_table_cells *cells, const char *file, tx_error *error) {
  if (cells->columns == 0) return take_header(cells, file, error);
  if (cells->bytes.failed) return tx_fail_memory(error, cells->bytes.size, "a row");
  if (cells->fields != cells->columns) {
    return tx_fail_line(error, TX_ERROR_INPUT, file, cells->line,
                        "%zu field%s expected, as in the header, and %zu found; %s", cells->columns,
                        cells->columns == 1 ? "" : "s", cells->fields,
                        cells->fields > cells->columns
                            ? "a text that holds the separator must be quoted, in a CSV file"
                            : "is the row cut?");
  }
  return TX_OK;
}
