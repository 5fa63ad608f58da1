/* Labelled tables as a whole, in memory: what training and evaluation read.
 * Reading row by row is tx_table_* of taxon.h. */
#ifndef TX_FORMATS_TABLE_H
#define TX_FORMATS_TABLE_H

#include "base/error.h"
#include "base/memory.h"

enum { TX_MAX_LABELS = 100000 };

/* Columns of any names, as tx_table_open() has texts and labels. */
typedef struct tx_table_column {
  const char *name; /* borrowed while the table is open */
  bool optional;    /* the table, or an object of JSONL, may be without it */
  bool null;        /* of JSONL null will do, as if it were missing */
  bool any;         /* of JSONL a value of any kind: lists and objects as JSON text */
} tx_table_column;

tx_status tx_table_open_columns(const char *path, const char *format,
                                const tx_table_column *columns, size_t count, tx_table **table,
                                tx_error *error);
/* cells (count), borrowed until the next row; {NULL, 0} where there is none. */
tx_status tx_table_next_cells(tx_table *table, tx_text *cells, int64_t *line, bool *found,
                              tx_error *error);
const char *tx_table_name(const tx_table *table); /* for messages */

typedef struct tx_dataset {
  int64_t rows;
  int64_t odd_rows, odd_line; /* whose texts hold NUL or bytes that are not UTF-8; the first's */
  tx_text *texts;  /* (rows) */
  int32_t *labels; /* (rows): index into names, never -1; of several labels a row: its rarest,
                      `classes` where it has none, which is what to stratify by */
  uint8_t *marks;  /* (rows, classes): 1 where the label holds; NULL: each row has one label */
  int64_t *lines;  /* (rows): where each row starts in its file, from 1 */
  char **names;    /* (classes), sorted by bytes; valid UTF-8, not empty */
  int classes;
  uint64_t *hashes; /* (rows): tx_text_fingerprint of each text */
  char sha256[65];  /* the data hash: over label (cell) and text of every row in order, each with
                       its size in front (64 bits, little-endian) */
  tx_arena *arena;  /* holds all of the above */
} tx_dataset;

/* One byte of ASCII that may stand between labels. */
tx_status tx_label_separator_check(const char *separator, tx_error *error);

/* known NULL: the labels are taken from the file.  Else the names are those of
 * `known`, and any other label is an error that names it, its line and the
 * known ones.  A file of no rows gives rows 0: to refuse that, or fewer than
 * two labels, is left to the caller.  New: tx_dataset_free. */
tx_status tx_dataset_read(const char *path, tx_table_options options, const tx_dataset *known,
                          tx_dataset **dataset, tx_error *error);
/* Notes the odd rows, where there are some; `path` is what was read. */
void tx_dataset_note(const tx_dataset *dataset, const char *path, const tx_watch *watch);
void tx_dataset_free(tx_dataset *dataset); /* NULL is allowed */

/* XXH64 of the text with ASCII letters lowered, runs of white space folded to
 * one space, and none at either end: equal for texts that are the same to a
 * reader. */
uint64_t tx_text_fingerprint(tx_text text);

#endif
