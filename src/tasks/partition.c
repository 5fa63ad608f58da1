/* Reading and splitting labelled rows. */
#include "tasks/partition.h"

#include <inttypes.h>

#include "adapt/logistic.h"

enum { FOLDS = 10 }; /* one of them is held out */

static bool rows_allocate(tx_labelled *rows, int64_t count) {
  rows->texts = tx_alloc_array((size_t)count, sizeof *rows->texts);
  rows->labels = tx_alloc_array((size_t)count, sizeof *rows->labels);
  rows->hashes = tx_alloc_array((size_t)count, sizeof *rows->hashes);
  return rows->texts && rows->labels && rows->hashes;
}

static void rows_free(tx_labelled *rows) {
  tx_free(rows->texts), tx_free(rows->labels), tx_free(rows->hashes);
}

/* Takes those rows of the table whose `fold` is (or is not) `held_out`; NULL: all. */
static tx_status rows_take(const tx_dataset *table, const int32_t *fold, int held_out, bool inside,
                           tx_labelled *rows, tx_error *error) {
  if (!rows_allocate(rows, table->rows)) {
    return tx_fail_memory(error, (uint64_t)table->rows * 28, "the rows");
  }
  for (int64_t i = 0; i < table->rows; i++) {
    if (fold && (fold[i] == held_out) != inside) continue;
    rows->texts[rows->count] = table->texts[i];
    rows->labels[rows->count] = table->labels[i];
    rows->hashes[rows->count++] = table->hashes[i];
  }
  return TX_OK;
}

/* The fold to hold out: the one that takes all rows from fewest labels, and of
 * those the nearest to a tenth of the rows (a text repeated many times makes a
 * fold of its own).  counts (FOLDS, classes) and left (classes) are written;
 * -1: all rows are in one fold. */
static int choose_fold(const tx_dataset *table, const int32_t *fold, int64_t *counts,
                       int64_t *left) {
  int best = -1, fewest = 0, classes = table->classes;
  int64_t nearest = 0;
  for (int64_t i = 0; i < table->rows; i++) {
    counts[fold[i] * (int64_t)classes + table->labels[i]]++;
    left[table->labels[i]]++;
  }
  for (int f = 0; f < FOLDS; f++) {
    int lost = 0;
    int64_t rows = 0;
    for (int c = 0; c < classes; c++) {
      int64_t here = counts[f * (int64_t)classes + c];
      rows += here;
      lost += here == left[c];
    }
    int64_t away =
        rows * FOLDS > table->rows ? rows * FOLDS - table->rows : table->rows - rows * FOLDS;
    if (rows == 0 || rows == table->rows) continue;
    if (best >= 0 && (lost > fewest || (lost == fewest && away >= nearest))) continue;
    best = f, fewest = lost, nearest = away;
  }
  return best;
}

/* No label may lose all its rows: those stay in training, and every row of the
 * same text with them.  `left`: rows of each label that are not held out. */
static void keep_labels(const tx_dataset *table, int held_out, int32_t *fold, int64_t *left) {
  for (int64_t i = 0; i < table->rows; i++) left[table->labels[i]] -= fold[i] == held_out;
  for (int64_t i = 0; i < table->rows; i++) {
    if (left[table->labels[i]] > 0) continue;
    for (int64_t k = 0; k < table->rows; k++) {
      if (fold[k] != held_out || table->hashes[k] != table->hashes[i]) continue;
      fold[k] = FOLDS;
      left[table->labels[k]]++;
    }
  }
}

static tx_status hold_out(tx_partition *split, uint64_t seed, tx_error *error) {
  const tx_dataset *table = split->train_table;
  size_t classes = (size_t)table->classes;
  int32_t *fold = tx_alloc_array((size_t)table->rows, sizeof *fold);
  int64_t *counts = tx_alloc_zero((FOLDS + 1) * classes, sizeof *counts);
  tx_status status;
  if (fold && counts) {
    status = tx_stratified_folds(table->labels, table->classes, table->hashes, table->rows, FOLDS,
                                 seed, fold, error);
  } else {
    status = tx_fail_memory(error, (uint64_t)table->rows * 4, "the validation rows");
  }
  if (status == TX_OK) {
    int64_t *left = counts + FOLDS * classes;
    int held_out = choose_fold(table, fold, counts, left);
    if (held_out >= 0) keep_labels(table, held_out, fold, left);
    status = rows_take(table, fold, held_out, false, &split->train, error);
    if (status == TX_OK) {
      status = rows_take(table, fold, held_out, true, &split->validation, error);
    }
  }
  tx_free(fold), tx_free(counts);
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
    TX_TRY(rows_take(rows, NULL, 0, false, &split->train, error));
    TX_TRY(rows_take(split->validation_table, NULL, 0, false, &split->validation, error));
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
