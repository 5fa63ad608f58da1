/* Reading and splitting labelled rows. */
#include "tasks/partition.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "adapt/logistic.h"
#include "formats/nearest.h"

enum { FOLDS = 10 }; /* one of them is held out */

/* A row's label, or the rarest of its labels, or that it has none. */
int tx_partition_strata(const tx_dataset *table) {
  return table->classes + (table->marks ? 1 : 0);
}

static bool rows_allocate(tx_labelled *rows, const tx_dataset *table) {
  int64_t count = table->rows;
  uint64_t marks = 0;
  if (table->marks) {
    bool fits = tx_multiply((uint64_t)count, (uint64_t)table->classes, &marks);
    rows->marks = fits ? tx_alloc((size_t)marks + 1) : NULL;
    if (!rows->marks) return false;
  }
  rows->texts = tx_alloc_array((size_t)count, sizeof *rows->texts);
  rows->labels = tx_alloc_array((size_t)count, sizeof *rows->labels);
  rows->hashes = tx_alloc_array((size_t)count, sizeof *rows->hashes);
  return rows->texts && rows->labels && rows->hashes;
}

void tx_labelled_free(tx_labelled *rows) {
  tx_free(rows->texts), tx_free(rows->labels), tx_free(rows->hashes);
  tx_free(rows->marks);
  *rows = (tx_labelled){0};
}

/* Takes those rows of the table whose `fold` is (or is not) `held_out`; NULL: all. */
static tx_status rows_take(const tx_dataset *table, const int32_t *fold, int held_out, bool inside,
                           tx_labelled *rows, tx_error *error) {
  size_t classes = (size_t)table->classes;
  if (!rows_allocate(rows, table)) {
    return tx_fail_memory(error, (uint64_t)table->rows * 28, "the rows");
  }
  for (int64_t i = 0; i < table->rows; i++) {
    if (fold && (fold[i] == held_out) != inside) continue;
    rows->texts[rows->count] = table->texts[i];
    if (rows->marks) {
      memcpy(rows->marks + (size_t)rows->count * classes, table->marks + (size_t)i * classes,
             classes);
    }
    rows->labels[rows->count] = table->labels[i];
    rows->hashes[rows->count++] = table->hashes[i];
  }
  return TX_OK;
}

/* The fold to hold out: the one that takes all rows from fewest labels, and of
 * those the nearest to a tenth of the rows (a text repeated many times makes a
 * fold of its own).  counts (FOLDS, strata) and left (strata) are written;
 * -1: all rows are in one fold. */
static int choose_fold(const tx_dataset *table, const int32_t *fold, int64_t *counts,
                       int64_t *left) {
  int best = -1, fewest = 0, classes = tx_partition_strata(table);
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

static tx_status hold_out(const tx_dataset *table, uint64_t seed, tx_partition *split,
                          tx_error *error) {
  size_t classes = (size_t)tx_partition_strata(table);
  int32_t *fold = tx_alloc_array((size_t)table->rows, sizeof *fold);
  int64_t *counts = tx_alloc_zero((FOLDS + 1) * classes, sizeof *counts);
  tx_status status;
  if (fold && counts) {
    status = tx_stratified_folds(table->labels, tx_partition_strata(table), table->hashes,
                                 table->rows, FOLDS, seed, fold, error);
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

static int by_value(const void *a, const void *b) {
  uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
  return (x > y) - (x < y);
}

static tx_status fail_labels(const char *file, const tx_dataset *table, tx_error *error) {
  char shown[TX_SHOWN_SIZE];
  if (table->rows == 0) {
    return tx_fail(error, TX_ERROR_INPUT,
                   "%s has no rows; training needs rows of at least two labels", file);
  }
  if (table->classes == 0) {
    return tx_fail(error, TX_ERROR_INPUT,
                   "%s: no row has a label; training needs rows of at least two labels", file);
  }
  return tx_fail(error, TX_ERROR_INPUT,
                 "%s: the only label is '%s' (%" PRId64
                 " row%s); training needs rows of at least two labels",
                 file, tx_show_name(tx_text_of(table->names[0]), shown), table->rows,
                 table->rows == 1 ? "" : "s");
}

/* Sorts the table's hashes, which nobody needs any more. */
static tx_status fail_held_out(const char *file, const tx_dataset *table, tx_error *error) {
  int64_t different = 1;
  qsort(table->hashes, (size_t)table->rows, sizeof *table->hashes, by_value);
  for (int64_t i = 1; i < table->rows; i++) different += table->hashes[i] != table->hashes[i - 1];
  return tx_fail(error, TX_ERROR_INPUT,
                 "%s: no row can be held out to validate with: the %" PRId64
                 " rows hold %" PRId64 " different text%s, the rows of one text stay together, and "
                 "each label keeps a row to train on; give more texts, or name a table to validate "
                 "with (--val)",
                 file, table->rows, different, different == 1 ? "" : "s");
}

/* How many validation rows have a text of the training rows. */
static tx_status count_shared(tx_partition *split, tx_error *error) {
  size_t count = (size_t)split->train.count;
  uint64_t *rising = tx_alloc_array(count, sizeof *rising);
  if (!rising) return tx_fail_memory(error, count * sizeof *rising, "the rows");
  memcpy(rising, split->train.hashes, count * sizeof *rising);
  qsort(rising, count, sizeof *rising, by_value);
  for (int64_t i = 0; i < split->validation.count; i++) {
    split->shared += bsearch(&split->validation.hashes[i], rising, count, sizeof *rising,
                             by_value) != NULL;
  }
  tx_free(rising);
  return TX_OK;
}

static tx_status split_read(const char *train, const char *validation, tx_table_options table,
                            uint64_t seed, tx_partition *split, tx_error *error) {
  TX_TRY(tx_dataset_read(train, table, NULL, &split->train_table, error));
  const tx_dataset *rows = split->train_table;
  split->classes = rows->classes, split->names = rows->names;
  if (rows->classes < 2) return fail_labels(train, rows, error);
  if (validation) {
    TX_TRY(tx_dataset_read(validation, table, rows, &split->validation_table, error));
    TX_TRY(rows_take(rows, NULL, 0, false, &split->train, error));
    TX_TRY(rows_take(split->validation_table, NULL, 0, false, &split->validation, error));
    TX_TRY(count_shared(split, error));
  } else {
    TX_TRY(hold_out(rows, seed, split, error));
  }
  if (split->validation.count > 0) return TX_OK;
  if (!validation) return fail_held_out(train, rows, error);
  return tx_fail(error, TX_ERROR_INPUT, "%s has no rows; give at least one to validate with",
                 validation);
}

tx_status tx_partition_read(const char *train, const char *validation, tx_table_options table,
                            uint64_t seed, tx_partition *split, tx_error *error) {
  *split = (tx_partition){0};
  tx_status status = split_read(train, validation, table, seed, split, error);
  if (status != TX_OK) tx_partition_free(split);
  return status;
}

tx_status tx_partition_part(const tx_dataset *table, const int32_t *fold, int held_out,
                            uint64_t seed, const char *file, tx_partition *split, tx_labelled *held,
                            tx_error *error) {
  tx_labelled others = {0};
  *split = (tx_partition){.classes = table->classes, .names = table->names};
  *held = (tx_labelled){0};
  tx_status status = rows_take(table, fold, held_out, false, &others, error);
  if (status == TX_OK) status = rows_take(table, fold, held_out, true, held, error);
  if (status == TX_OK) {
    const tx_dataset rows = {.rows = others.count,
                             .texts = others.texts,
                             .labels = others.labels,
                             .marks = others.marks,
                             .names = table->names,
                             .classes = table->classes,
                             .hashes = others.hashes};
    status = hold_out(&rows, seed, split, error);
    if (status == TX_OK && split->validation.count == 0) status = fail_held_out(file, &rows, error);
  }
  tx_labelled_free(&others);
  if (status == TX_OK) return TX_OK;
  tx_partition_free(split);
  tx_labelled_free(held);
  return status;
}

void tx_partition_free(tx_partition *split) {
  tx_labelled_free(&split->train);
  tx_labelled_free(&split->validation);
  tx_dataset_free(split->validation_table);
  tx_dataset_free(split->train_table);
  *split = (tx_partition){0};
}
