/* Reading and splitting labelled rows. */
#include "tasks/partition.h"

#include <inttypes.h>

#include "adapt/logistic.h"

static bool rows_allocate(tx_labelled *rows, int64_t count) {
  rows->texts = tx_alloc_array((size_t)count, sizeof *rows->texts);
  rows->labels = tx_alloc_array((size_t)count, sizeof *rows->labels);
  rows->hashes = tx_alloc_array((size_t)count, sizeof *rows->hashes);
  return rows->texts && rows->labels && rows->hashes;
}

static void rows_free(tx_labelled *rows) {
  tx_free(rows->texts), tx_free(rows->labels), tx_free(rows->hashes);
}

/* Takes those rows of the table whose `fold` is (or is not) 0; NULL: all. */
static tx_status rows_take(const tx_dataset *table, const int32_t *fold, bool first, tx_labelled *rows,
                           tx_error *error) {
  if (!rows_allocate(rows, table->rows)) {
    return tx_fail_memory(error, (uint64_t)table->rows * 28, "the rows");
  }
  for (int64_t i = 0; i < table->rows; i++) {
    if (fold && (fold[i] == 0) != first) continue;
    rows->texts[rows->count] = table->texts[i];
    rows->labels[rows->count] = table->labels[i];
    rows->hashes[rows->count++] = table->hashes[i];
  }
  return TX_OK;
}

static tx_status hold_out(tx_partition *split, uint64_t seed, tx_error *error) {
  const tx_dataset *table = split->train_table;
  int32_t *fold = tx_alloc_array((size_t)table->rows, sizeof *fold);
  if (!fold) return tx_fail_memory(error, (uint64_t)table->rows * 4, "the validation rows");
  tx_status status = tx_stratified_folds(table->labels, table->classes, table->hashes, table->rows,
                                         10, seed, fold, error);
  if (status == TX_OK) status = rows_take(table, fold, false, &split->train, error);
  if (status == TX_OK) status = rows_take(table, fold, true, &split->validation, error);
  tx_free(fold);
  return status;
}

static tx_status split_read(const char *train, const char *validation, tx_table_options table,
                            uint64_t seed, tx_partition *split, tx_error *error) {
  TX_TRY(tx_dataset_read(train, table, NULL, &split->train_table, error));
  const tx_dataset *rows = split->train_table;
  split->classes = rows->classes, split->names = rows->names;
  if (rows->classes < 2) {
    return tx_fail(error, TX_ERROR_INPUT,
                   "%s: %" PRId64
                   " rows with %d label%s; training needs rows of at least two labels",
                   train, rows->rows, rows->classes, rows->classes == 1 ? "" : "s");
  }
  if (validation) {
    TX_TRY(tx_dataset_read(validation, table, rows, &split->validation_table, error));
    TX_TRY(rows_take(rows, NULL, false, &split->train, error));
    TX_TRY(rows_take(split->validation_table, NULL, false, &split->validation, error));
  } else {
    TX_TRY(hold_out(split, seed, error));
  }
  if (split->train.count == 0 || split->validation.count == 0) {
    return tx_fail(error, TX_ERROR_INPUT,
                   "%s: %" PRId64 " rows to train on and %" PRId64
                   " to validate with; both need at least one, give more rows",
                   validation ? validation : train, split->train.count, split->validation.count);
  }
  return TX_OK;
}

tx_status tx_partition_read(const char *train, const char *validation, tx_table_options table,
                        uint64_t seed, tx_partition *split, tx_error *error) {
  *split = (tx_partition){0};
  tx_status status = split_read(train, validation, table, seed, split, error);
  if (status != TX_OK) tx_partition_free(split);
  return status;
}

void tx_partition_free(tx_partition *split) {
  rows_free(&split->train);
  rows_free(&split->validation);
  tx_dataset_free(split->validation_table);
  tx_dataset_free(split->train_table);
  *split = (tx_partition){0};
}
