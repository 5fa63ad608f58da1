/* The rows that a training run uses: read from tables, or held out from one. */
#ifndef TX_TASKS_ROWS_H
#define TX_TASKS_ROWS_H

#include "formats/table.h"

typedef struct tx_rows { /* arrays of their own over texts of a data set */
  int64_t count;
  tx_text *texts;
  int32_t *labels;
  uint64_t *hashes;
} tx_rows;

typedef struct tx_row_split {
  tx_dataset *train_table, *validation_table; /* the second NULL: held out from the first */
  tx_rows train, validation;
  int classes;
  char *const *names; /* (classes), borrowed from train_table */
} tx_row_split;

/* validation NULL: a tenth of the training rows, stratified, by seed; equal
 * texts stay together.  Refuses tables that cannot be trained on. */
tx_status tx_rows_read(const char *train, const char *validation, tx_table_options table,
                        uint64_t seed, tx_row_split *split, tx_error *error);
void tx_rows_free(tx_row_split *split);

#endif
