/* Results on standard output: JSON by jansson, tables aligned by what a
 * terminal shows, and the check that all of it arrived.  No verb prints any
 * other way. */
#ifndef TAXON_CLI_OUTPUT_H
#define TAXON_CLI_OUTPUT_H

#include <jansson.h>

#include "cli.h"

bool out_terminal(void);  /* standard output is one */
bool out_colour(void);    /* a terminal that wants colour: no NO_COLOR, no dumb TERM */
size_t out_columns(void); /* the terminal's width; 100 elsewhere */

/* Sends what is buffered.  Not 0: it cannot be written, said once on standard
 * error; the verb ends with this status.  Where the reader of a pipe left, the
 * program ends here, without a word. */
int out_flush(const char *verb);

/* ---- JSON ---- */

void out_put(json_t *object, const char *key, json_t *value); /* takes `value` */
void out_append(json_t *array, json_t *value);                /* takes `value` */
json_t *out_real(double value);                               /* null when it is not finite */
json_t *out_text(tx_text text); /* a byte that is not UTF-8 becomes the four characters \xNN */
json_t *out_string(const char *string);
/* One line.  `digits` of its numbers are written: 9 give a float, 15 a double
 * without noise.  Takes `value`. */
void out_json(json_t *value, size_t digits);

/* ---- text ---- */

/* What may be shown of bytes from outside, new: control characters and invalid
 * UTF-8 as \n, \t, \xNN. */
char *out_visible(tx_text text);
size_t out_width(const char *text); /* columns on a terminal: Hangul and emoji take two */
char *out_cut(const char *text, size_t width); /* new; ends with "..." when it was longer */

enum { OUT_NUMBER = 32 };
const char *out_grouped(int64_t number, char buffer[OUT_NUMBER]);  /* 1,234,567 */
const char *out_size(int64_t bytes, char buffer[OUT_NUMBER]);      /* 104.9 MB */
const char *out_duration(double seconds, char buffer[OUT_NUMBER]); /* 4.2 s, 3 min 05 s */
const char *out_percent(double share, char buffer[OUT_NUMBER]);    /* 98.3 %, "-" for NaN */
const char *out_decimal(double value, int digits, char buffer[OUT_NUMBER]); /* "-" for NaN */

/* ---- tables ---- */

/* Cells row by row.  `alignment` has an l or r for each column. */
typedef struct out_table {
  const char *alignment;
  char **cells; /* (rows, columns) */
  size_t columns, count, capacity;
  bool heading; /* the first row is one */
  bool fit; /* on a terminal l columns are cut, with "...", until a row fits its width */
  int indent;
} out_table;

out_table out_table_make(const char *alignment, bool heading);
void out_cell(out_table *table, const char *text); /* shown as out_visible() does */
void out_table_print(out_table *table);            /* and frees it */
void out_table_free(out_table *table);
size_t out_table_width(const out_table *table);

/* `text` in bold where colour is wanted. */
void out_bold(const char *text);

#endif
