/* What the readers of tables share: buffered input with line numbers, and the
 * cells of the row being read.  Only table*.c include this. */
#ifndef TX_FORMATS_TABLE_PARTS_H
#define TX_FORMATS_TABLE_PARTS_H

#include "base/buffer.h"
#include "base/error.h"
#include "formats/stream.h"

enum {
  TX_TABLE_TEXTS = 64,                 /* text columns at most */
  TX_TABLE_CELLS = TX_TABLE_TEXTS + 2, /* and the label's and the id's */
  TX_TABLE_CHUNK = 1 << 16,
  TX_TABLE_ROW_BYTES = 1 << 28 /* a row that is longer is taken for a damaged file */
};

typedef enum { TX_TABLE_CSV, TX_TABLE_TSV, TX_TABLE_JSONL } tx_table_format;

/* ---- input: chunks of a stream, cut into lines ---- */

typedef struct {
  tx_stream *stream;
  const char *name; /* borrowed from the stream */
  char *chunk;      /* (TX_TABLE_CHUNK) */
  size_t at, end;
  bool ended;
  int64_t line;    /* of the next byte, from 1 */
  tx_buffer carry; /* a line that crosses chunks */
} tx_table_input;

/* Fills the chunk when it is used up; nothing left in it then means the end. */
tx_status tx_table_fill(tx_table_input *input, tx_error *error);
/* Reads on until the chunk holds a line feed and `least` bytes, is full, or the file ends. */
tx_status tx_table_fill_line(tx_table_input *input, size_t least, tx_error *error);
/* The next line without its LF or CRLF, borrowed until the next call; `line`
 * is advanced past it. */
tx_status tx_table_line(tx_table_input *input, tx_text *line, bool *found, tx_error *error);

/* ---- the beginning of a file ---- */

/* A byte order mark is passed over; a file that is no table, by its first bytes
 * or by a NUL byte in its first line, is an error that says what it is. */
tx_status tx_table_start(tx_table_input *input, tx_error *error);
tx_status tx_table_refuse_returns(const tx_table_input *input, tx_error *error);
tx_status tx_table_format_named(const char *name, tx_table_format *format, tx_error *error);
/* By the file's ending, else by its first line. */
tx_table_format tx_table_format_found(const char *path, const tx_table_input *input);

/* ---- a reader: one for each format ---- */

typedef struct {
  bool there; /* JSONL: optional keys may be missing */
  size_t at, size;
} tx_table_cell;

/* What was asked for: cell i is filled from the column names[i]. */
typedef struct {
  tx_text names[TX_TABLE_CELLS];
  bool optional[TX_TABLE_CELLS];
  bool null[TX_TABLE_CELLS]; /* JSONL: null will do, and is not there */
  bool any[TX_TABLE_CELLS];  /* JSONL: lists and objects will do, and stay JSON */
  size_t count;
  size_t array;    /* JSONL: the cell that may be an array of strings; 0: none */
  char separator;  /* ... by which they are joined */
} tx_table_wanted;

typedef struct {
  tx_table_wanted wanted;
  tx_table_cell cells[TX_TABLE_CELLS];
  tx_buffer bytes; /* of the cells */
  int64_t line;    /* where the row starts */
  /* CSV and TSV: */
  size_t columns;               /* of the header; 0 while the header itself is read */
  size_t fields;                /* of the row so far */
  int64_t *slots;               /* (columns): a list of cells for each column, by `next` */
  int64_t next[TX_TABLE_CELLS]; /* -1 ends the list */
  tx_buffer names, ends; /* while the header is read: its names joined, and their ends (size_t) */
  /* TSV of one column: blank lines are empty texts, unless the file ends with them. */
  int64_t blanks; /* still to be given, before `held` */
  bool holding;
  tx_text held; /* borrowed from the input */
} tx_table_cells;

void tx_table_cells_begin(tx_table_cells *cells, int64_t line);
void tx_table_cells_add(tx_table_cells *cells, const char *data, size_t size); /* next field */
void tx_table_cells_set(tx_table_cells *cells, size_t cell, const char *data, size_t size);
/* The row is whole: it must have as many fields as the header.  The first one
 * is the header, in which the wanted columns are looked up. */
tx_status tx_table_cells_end(tx_table_cells *cells, const char *file, tx_error *error);

/* "there is no `what` 'name'; the `what`s are: ...; did you mean 'x'?" */
tx_status tx_table_no_column(const char *file, int64_t line, const char *what, tx_text name,
                             const tx_text *names, size_t count, tx_error *error);

typedef struct tx_csv tx_csv;
tx_status tx_csv_new(tx_csv **csv, tx_error *error);
tx_status tx_csv_next(tx_csv *csv, tx_table_input *input, tx_table_cells *cells, bool *found,
                      tx_error *error);
void tx_csv_free(tx_csv *csv);

tx_status tx_tsv_next(tx_table_input *input, tx_table_cells *cells, bool *found, tx_error *error);
tx_status tx_jsonl_next(tx_table_input *input, tx_table_cells *cells, bool *found, tx_error *error);

#endif
