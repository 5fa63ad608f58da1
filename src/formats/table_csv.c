/* CSV as RFC 4180 has it, one row at a time, over libcsv's push parser: the
 * input is handed over in pieces that end at line ends, so that at most one row
 * is finished by a piece. */
#include <csv.h>
#include <string.h>

#include "base/memory.h"
#include "formats/table_parts.h"

enum { BUFFER_STEP = 1 << 16 };

struct tx_csv {
  struct csv_parser parser;
  tx_table_cells *cells; /* of the row in work */
  bool in_row, row_done;
  bool after_return; /* the last piece ended with CR: a LF that follows ends no further line */
  size_t row_bytes;
  int64_t field_line; /* where the field in work starts */
  int64_t line;       /* of the piece in work */
};

static int never_space(unsigned char letter) {
  (void)letter;
  return 0;
}

tx_status tx_csv_new(tx_csv **csv, tx_error *error) {
  tx_csv *made = tx_alloc_zero(1, sizeof *made);
  if (!made || csv_init(&made->parser, CSV_STRICT | CSV_STRICT_FINI)) {
    tx_free(made);
    return tx_fail_memory(error, sizeof *made, "a CSV reader");
  }
  csv_set_realloc_func(&made->parser, tx_resize);
  csv_set_free_func(&made->parser, tx_free);
  csv_set_blk_size(&made->parser, BUFFER_STEP);
  csv_set_space_func(&made->parser, never_space); /* spaces belong to the field */
  *csv = made;
  return TX_OK;
}

void tx_csv_free(tx_csv *csv) {
  if (!csv) return;
  csv_free(&csv->parser);
  tx_free(csv);
}

static void on_field(void *data, size_t size, void *context) {
  tx_csv *csv = context;
  tx_table_cells_add(csv->cells, data, size);
  csv->field_line = csv->line;
}

static void on_row(int end, void *context) {
  (void)end;
  tx_csv *csv = context;
  csv->row_done = true;
}

static tx_status fail_parse(tx_csv *csv, const char *file, tx_error *error) {
  int code = csv_error(&csv->parser);
  size_t field = csv->cells->fields + 1;
  if (code != CSV_EPARSE) return tx_fail_memory(error, csv->parser.entry_size, "a field");
  if (!csv->parser.quoted) {
    return tx_fail_line(error, TX_ERROR_INPUT, file, csv->line,
                        "a quote stands inside field %zu, which does not begin with one; put the "
                        "whole field in quotes and write the quotes inside it twice",
                        field);
  }
  return tx_fail_line(error, TX_ERROR_INPUT, file, csv->line,
                      "text follows the quote that closes field %zu, opened in line %lld; write "
                      "a quote inside a quoted field twice",
                      field, (long long)csv->field_line);
}

/* The bytes up to and with the next line end, or all there are. */
static size_t piece_size(const char *from, size_t left) {
  const char *feed = memchr(from, '\n', left);
  size_t size = feed ? (size_t)(feed - from) + 1 : left;
  const char *back = memchr(from, '\r', size);
  return back ? (size_t)(back - from) + 1 : size;
}

static void count_line(tx_csv *csv, tx_table_input *input, const char *piece, size_t size) {
  char last = piece[size - 1];
  if (last == '\r' || (last == '\n' && !(size == 1 && csv->after_return))) input->line++;
  csv->after_return = last == '\r';
}

static tx_status feed_piece(tx_csv *csv, tx_table_input *input, tx_error *error) {
  const char *piece = input->chunk + input->at;
  size_t size = piece_size(piece, input->end - input->at);
  bool blank = size == 1 && (piece[0] == '\n' || piece[0] == '\r');
  csv->line = input->line;
  if (!csv->in_row && !blank) {
    csv->in_row = true;
    csv->row_bytes = 0;
    csv->field_line = input->line;
    tx_table_cells_begin(csv->cells, input->line);
  }
  csv->row_bytes += size;
  if (csv->row_bytes > TX_TABLE_ROW_BYTES) {
    return tx_fail_line(error, TX_ERROR_INPUT, input->name, csv->field_line,
                        "the row that starts here is longer than %d MB; is a quote not closed?",
                        TX_TABLE_ROW_BYTES >> 20);
  }
  if (csv_parse(&csv->parser, piece, size, on_field, on_row, csv) != size) {
    return fail_parse(csv, input->name, error);
  }
  input->at += size;
  count_line(csv, input, piece, size);
  return TX_OK;
}

static tx_status finish(tx_csv *csv, const char *file, tx_error *error) {
  if (csv_fini(&csv->parser, on_field, on_row, csv) == 0) return TX_OK;
  return tx_fail_line(error, TX_ERROR_INPUT, file, csv->field_line,
                      "the quote that opens field %zu is never closed; close it, or save the "
                      "table as TSV if its quotes are plain text",
                      csv->cells->fields + 1);
}

tx_status tx_csv_next(tx_csv *csv, tx_table_input *input, tx_table_cells *cells, bool *found,
                      tx_error *error) {
  csv->cells = cells;
  csv->row_done = false;
  while (!csv->row_done) {
    TX_TRY(tx_table_fill(input, error));
    if (input->at == input->end) {
      TX_TRY(finish(csv, input->name, error));
      break;
    }
    TX_TRY(feed_piece(csv, input, error));
  }
  csv->in_row = false;
  *found = csv->row_done;
  return *found ? tx_table_cells_end(cells, input->name, error) : TX_OK;
}
