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
  tx_dataset *train_table, *validation_table; /* the second NULL: held out from the first; of a
                                                 part (tx_partition_part) both */
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

/* One fold of a table: its rows, `held`, and of all others a tenth to validate with, as
 * tx_partition_read() takes it.  fold (rows of the table): as of tx_stratified_folds().  Both
 * borrow the table's texts.  `file` is for the message where no row can be held out. */
tx_status tx_partition_part(const tx_dataset *table, const int32_t *fold, int held_out,
                            uint64_t seed, const char *file, tx_partition *split, tx_labelled *held,
                            tx_error *error);
void tx_labelled_free(tx_labelled *rows);

/* How many strata the table's labels are: its labels, and of several a row one more. */
int tx_partition_strata(const tx_dataset *table);

#endif
