/* The rows that a training run uses: read from tables, or held out from one. */
#ifndef TX_TASKS_PARTITION_H
#define TX_TASKS_PARTITION_H

#include "adapt/loss.h"
#include "formats/table.h"

typedef struct tx_labelled { /* arrays of their own over texts of a data set */
  int64_t count;
  tx_text *texts;
  int32_t *labels; /* as of tx_dataset, and so is the next */
  uint8_t *marks;
  uint64_t *hashes;
} tx_labelled;

typedef struct tx_partition {
  tx_dataset *train_table, *validation_table; /* the second NULL: held out from the first */
  tx_labelled train, validation;
  int64_t shared; /* validation rows whose text stands in the training rows too */
  int classes;
  char *const *names; /* (classes), borrowed from train_table */
} tx_partition;

/* What is true of the rows; the weights are the caller's to add. */
static inline tx_truth tx_labelled_truth(const tx_labelled *rows) {
  return (tx_truth){rows->marks ? NULL : rows->labels, rows->marks, NULL};
}

/* validation NULL: a tenth of the training rows, stratified, by seed; equal
 * texts stay together, and every label keeps a training row.  Refuses tables that cannot be trained
 * on. */
tx_status tx_partition_read(const char *train, const char *validation, tx_table_options table,
                            uint64_t seed, tx_partition *split, tx_error *error);
void tx_partition_free(tx_partition *split);

#endif
