/* Options that say how a table's rows ask and answer: of `taxon tune` and `taxon generate`. */
#ifndef TAXON_CLI_ROWS_OPTIONS_H
#define TAXON_CLI_ROWS_OPTIONS_H

#include "options.h"

extern const char *const rows_templates[]; /* "auto", "model", "alpaca", "chatml", NULL */
const char *rows_template(int choice);     /* for the library: NULL for auto */

enum { ROWS_OPTIONS = 5 };

/* instruction, instruction-column, input, output, messages; the values go into `rows`. */
void rows_fill_options(tx_rows_options *rows, option options[ROWS_OPTIONS]);

/* The option of that name, which is there: to say of it what a verb means by it. */
option *options_named(option *options, size_t count, const char *name);

#endif
