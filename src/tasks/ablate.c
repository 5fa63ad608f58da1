/* tx_ablate: the book's table of experiments.  The order of the steps stands in run(). */
#include "tasks/ablate.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/watch.h"
#include "formats/lock.h"

tx_ablation_options tx_ablation_defaults(void) {
  return (tx_ablation_options){.table = tx_table_defaults(),
                               .seeds = 3,
                               .epochs = 5,
                               .batch = 8,
                               .learning_rate = 5e-5,
                               .context = 1024,
                               .cache_mb = tx_train_defaults().cache_mb};
}

/* ---- options --------------------------------------------------------------- */

static tx_status check_range(const char *name, double value, double low, double high,
                             tx_error *error) {
  if (value >= low && value <= high) return TX_OK;
  return tx_fail(error, TX_ERROR_ARGUMENT, "%s is %g; it must lie between %g and %g", name, value,
                 low, high);
}

static tx_status check_options(const tx_ablation_options *o, tx_error *error) {
  if (!o->model || !o->data || !o->out || (o->model_count > 0 && !o->models) ||
      (o->row_count > 0 && !o->rows)) {
    return tx_fail(error, TX_ERROR_ARGUMENT,
                   "the experiments need a model, a directory with tables, and one for the report");
  }
  TX_TRY(check_range("the number of larger models", (double)o->model_count, 0, TX_ABLATION_MODELS,
                     error));
  TX_TRY(check_range("seeds", o->seeds, 1, 100, error));
  TX_TRY(check_range("epochs", o->epochs, 1, 1e6, error));
  TX_TRY(check_range("batch", o->batch, 1, 1 << 16, error));
  TX_TRY(check_range("learning rate", o->learning_rate, 1e-12, 10, error));
  TX_TRY(check_range("context", (double)o->context, 1, 1 << 24, error));
  TX_TRY(check_range("seed", (double)o->seed, 0, 1e15, error));
  for (size_t i = 0; i < o->row_count; i++) {
    TX_TRY(check_range("row", o->rows[i], 1, TX_ABLATION_ROWS, error));
    if (o->row_seeds) TX_TRY(check_range("a row's seeds", o->row_seeds[i], 0, 100, error));
  }
  return TX_OK;
}

static void choose_rows(tx_ablation *a) {
  const tx_ablation_options *o = a->options;
  for (int i = 1; i <= TX_ABLATION_ROWS; i++)
    a->wanted[i] = o->row_count == 0, a->seeds[i] = o->seeds;
  for (size_t i = 0; i < o->row_count; i++) {
    a->wanted[o->rows[i]] = true;
    if (o->row_seeds && o->row_seeds[i] > 0) a->seeds[o->rows[i]] = o->row_seeds[i];
  }
  for (int i = 1; i <= TX_ABLATION_ROWS; i++) {
    int other = tx_ablation_recipe_of(i)->same_as;
    if (!a->wanted[i]) continue;
    a->needed[other > 0 ? other : i] = true;
    if (other > 0 && !a->wanted[other]) a->seeds[other] = a->seeds[i];
    if (other > 0) a->seeds[i] = a->seeds[other];
  }
}

/* ---- tables ---------------------------------------------------------------- */

static tx_status read_table(tx_ablation *a, const char *name, char path[TX_PATH_SIZE],
                            tx_dataset **table, tx_error *error) {
  TX_TRY(tx_path_join(path, a->options->data, name, error));
  TX_TRY(tx_dataset_read(path, a->options->table, a->train, table, error));
  if ((*table)->rows > 0) return TX_OK;
  return tx_fail(error, TX_ERROR_INPUT, "%s has no rows; give at least one", path);
}

static tx_status read_tables(tx_ablation *a, tx_error *error) {
  TX_TRY(read_table(a, "train.tsv", a->train_path, &a->train, error));
  TX_TRY(read_table(a, "val.tsv", a->validation_path, &a->validation, error));
  return read_table(a, "test.tsv", a->test_path, &a->test, error);
}

/* ---- trainings ------------------------------------------------------------- */

/* Those that are still to do, of row `number` with seed `seed`. */
static bool is_open(tx_ablation *a, int number, uint64_t seed) {
  return a->needed[number] && !tx_ablation_obstacle(a, number) &&
         !tx_ablation_log_find(a, number, seed);
}

static void count_open(tx_ablation *a, int64_t *open) {
  *open = 0;
  for (int row = 1; row <= TX_ABLATION_ROWS; row++) {
    for (int s = 0; s < a->seeds[row]; s++) {
      uint64_t seed = a->options->seed + (uint64_t)s;
      bool runs = a->needed[row] && !tx_ablation_obstacle(a, row);
      if (is_open(a, row, seed)) {
        ++*open;
      } else if (runs) {
        a->report->resumed++;
      }
    }
  }
}

static tx_status train_one(tx_ablation *a, int row, uint64_t seed, int64_t open, tx_error *error) {
  tx_ablation_record record;
  tx_watch_note(a->watch, "row %d (%s), seed %" PRIu64 ": training %" PRId64 " of %" PRId64, row,
                tx_ablation_recipe_of(row)->changed, seed, a->report->trained + 1, open);
  TX_TRY(tx_ablation_train(a, row, seed, &record, error));
  TX_TRY(tx_ablation_log_add(a, &record, error));
  a->report->trained++;
  return TX_OK;
}

static tx_status train_rows(tx_ablation *a, tx_error *error) {
  int64_t open;
  count_open(a, &open);
  for (int row = 1; row <= TX_ABLATION_ROWS; row++) {
    for (int s = 0; s < a->seeds[row]; s++) {
      uint64_t seed = a->options->seed + (uint64_t)s;
      if (is_open(a, row, seed)) TX_TRY(train_one(a, row, seed, open, error));
    }
  }
  return TX_OK;
}

/* ---- the whole -------------------------------------------------------------- */

/* Two processes do not add to one table at once. */
static tx_status work(tx_ablation *a, tx_error *error) {
  TX_TRY(tx_ablation_log_open(a, error));
  TX_TRY(train_rows(a, error));
  TX_TRY(tx_ablation_figures(a, error));
  return tx_ablation_write(a, error);
}

static tx_status run(tx_ablation *a, tx_error *error) {
  if (!a->arena) return tx_fail_memory(error, 64, "the experiments");
  TX_TRY(check_options(a->options, error));
  choose_rows(a);
  TX_TRY(read_tables(a, error));
  TX_TRY(tx_ablation_find_models(a, error));
  TX_TRY(tx_directory_make(a->options->out, error));
  char path[TX_PATH_SIZE], what[300];
  tx_lock lock;
  snprintf(what, sizeof what, "ablate with --out %.200s", a->options->out);
  TX_TRY(tx_path_join(path, a->options->out, ".lock", error));
  TX_TRY(tx_lock_take(path, what, &lock, a->watch, error));
  tx_status status = work(a, error);
  tx_lock_free(&lock);
  return status;
}

tx_status tx_ablate(const tx_ablation_options *options, tx_ablation_report *report,
                    const tx_watch *watch, tx_error *error) {
  *report = (tx_ablation_report){0};
  tx_ablation *a = tx_alloc_zero(1, sizeof *a);
  if (!a) return tx_fail_memory(error, sizeof *a, "the experiments");
  a->options = options, a->watch = watch, a->report = report, a->arena = tx_arena_new();
  tx_status status = run(a, error);
  tx_appender_close(a->log);
  tx_dataset_free(a->train), tx_dataset_free(a->validation), tx_dataset_free(a->test);
  report->owned = a->arena;
  tx_free(a);
  if (status != TX_OK) tx_ablation_report_free(report);
  return status;
}

void tx_ablation_report_free(tx_ablation_report *report) {
  tx_arena_free(report->owned);
  *report = (tx_ablation_report){0};
}
