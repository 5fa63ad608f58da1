/* Other seeds, and folds: each a label set of its own, over the same trunk cache. */
#include "tasks/repeat.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "adapt/logistic.h"
#include "base/watch.h"
#include "trust/answers.h"
#include "trust/comparison.h"

/* What a training changes of what it shares with the others, to be put back. */
typedef struct {
  const tx_train_options *options;
  const tx_watch *watch;
} kept;

/* Notes of each training would be many: its result is told in one. */
static kept be_quiet(tx_training *t, const tx_train_options *options, tx_watch *quiet) {
  kept before = {t->options, t->watch};
  *quiet = t->watch ? *t->watch : (tx_watch){0};
  quiet->note = NULL;
  t->options = options, t->watch = quiet;
  return before;
}

static void put_back(tx_training *t, kept before) {
  t->options = before.options, t->watch = before.watch;
}

/* ---- seeds ------------------------------------------------------------- */

static tx_seed_score score_of(uint64_t seed, const tx_label_set *set) {
  return (tx_seed_score){seed, set->val_accuracy, set->val_nll};
}

tx_status tx_repeat_seeds(tx_training *t, const tx_label_set *set, tx_error *error) {
  int seeds = t->options->seeds;
  for (int i = 1; i < seeds; i++) {
    tx_watch quiet;
    tx_train_options options = *t->options;
    tx_label_set again = tx_label_set_again(set);
    options.seed += (uint64_t)i;
    kept before = be_quiet(t, &options, &quiet);
    tx_status status = tx_label_set_train(t, &again, false, error);
    put_back(t, before);
    tx_seed_score score = score_of(options.seed, &again);
    tx_label_set_free(&again);
    if (status != TX_OK) return status;
    t->report->seeds[i] = score;
    tx_watch_note(t->watch, "seed %" PRIu64 ": validation accuracy %.4f, loss %.4f", score.seed,
                  score.accuracy, score.nll);
  }
  return TX_OK;
}

/* `at`: the offset of the figure in a score. */
static tx_spread spread_of(const tx_train_report *report, size_t at) {
  tx_spread spread = {.low = INFINITY, .high = -INFINITY};
  double squares = 0, count = (double)report->seed_count;
  for (size_t i = 0; i < report->seed_count; i++) {
    double value;
    memcpy(&value, (const char *)&report->seeds[i] + at, sizeof value);
    spread.mean += value / count;
    spread.low = value < spread.low ? value : spread.low;
    spread.high = value > spread.high ? value : spread.high;
  }
  for (size_t i = 0; i < report->seed_count; i++) {
    double value;
    memcpy(&value, (const char *)&report->seeds[i] + at, sizeof value);
    squares += (value - spread.mean) * (value - spread.mean);
  }
  spread.deviation = report->seed_count > 1 ? sqrt(squares / (count - 1)) : 0;
  return spread;
}

void tx_repeat_summarise(const tx_label_set *set, tx_train_report *report) {
  report->seeds[0].accuracy = set->val_accuracy, report->seeds[0].nll = set->val_nll;
  report->seed_accuracy = spread_of(report, offsetof(tx_seed_score, accuracy));
  report->seed_nll = spread_of(report, offsetof(tx_seed_score, nll));
}

/* ---- folds ------------------------------------------------------------- */

typedef struct {
  tx_training *t;
  const tx_dataset *table;
  const char *file;
  tx_truth truth;
  int32_t *fold;        /* (rows) */
  float *probabilities; /* (rows, classes): out of fold */
  int64_t right;        /* answers of the last fold that are right */
  int64_t linear;       /* ... of the linear baselines of all */
  tx_error *error;
} folding;

/* Back to the table's order; counts right answers. */
static int64_t take_answers(const folding *f, int index, const float *answers, float *to) {
  int64_t classes = f->table->classes, at = 0, right = 0;
  for (int64_t i = 0; i < f->table->rows; i++) {
    if (f->fold[i] != index) continue;
    const float *answer = answers + at++ * classes;
    right += tx_answer_right(answer, f->truth, i, (int)classes);
    if (to) memcpy(to + i * classes, answer, (size_t)classes * sizeof *answer);
  }
  return right;
}

static tx_status answer_fold(folding *f, int index, tx_label_set *set, const tx_labelled *held,
                             tx_rows_of_states *states) {
  tx_training *t = f->t;
  size_t floats = (size_t)held->count * (size_t)f->table->classes;
  float *answers = tx_alloc_array(floats, sizeof *answers);
  if (!answers) return tx_fail_memory(f->error, floats * sizeof *answers, "scores");
  tx_status status = tx_label_set_answer(t, set, held, states, answers, f->error);
  if (status == TX_OK) {
    f->right = take_answers(f, index, answers, f->probabilities);
    status = set->linear->score(set->linear, held->texts, (size_t)held->count, answers, NULL,
                                t->watch, f->error);
  }
  if (status == TX_OK) f->linear += take_answers(f, index, answers, NULL);
  tx_free(answers);
  return status;
}

static tx_status run_fold(folding *f, int index) {
  tx_training *t = f->t;
  tx_label_set set = {0};
  tx_labelled held;
  tx_rows_of_states states = {0};
  TX_TRY(tx_partition_part(f->table, f->fold, index, t->options->seed, f->file, &set.split, &held,
                           f->error));
  tx_status status = tx_label_set_encode(t, &held, &states, f->error);
  if (status == TX_OK) status = tx_label_set_prepare(t, &set, f->error);
  set.apart = &states;
  if (status == TX_OK) status = tx_label_set_train(t, &set, false, f->error);
  if (status == TX_OK) status = answer_fold(f, index, &set, &held, &states);
  tx_label_set_free(&set);
  tx_label_set_free_rows(&states);
  tx_labelled_free(&held);
  return status;
}

static int64_t rows_of(const folding *f, int index) {
  int64_t rows = 0;
  for (int64_t i = 0; i < f->table->rows; i++) rows += f->fold[i] == index;
  return rows;
}

static void report_folds(const folding *f, int folds) {
  tx_metrics metrics;
  int64_t rows = f->table->rows;
  tx_answers_measure(f->probabilities, f->truth, rows, f->table->classes, &metrics, NULL, NULL);
  tx_interval interval = tx_wilson(metrics.correct, rows);
  f->t->report->cross_validation =
      (tx_cross_validation){.folds = folds,
                            .rows = rows,
                            .accuracy = metrics.accuracy,
                            .lo = interval.lo,
                            .hi = interval.hi,
                            .macro_f1 = metrics.macro_f1,
                            .micro_f1 = metrics.micro_f1,
                            .nll = metrics.nll,
                            .linear_accuracy = (double)f->linear / (double)rows};
}

static tx_status run_folds(folding *f, int folds) {
  const tx_dataset *table = f->table;
  tx_training *t = f->t;
  TX_TRY(tx_stratified_folds(table->labels, tx_partition_strata(table), table->hashes, table->rows,
                             folds, t->options->seed, f->fold, f->error));
  for (int i = 0; i < folds; i++) {
    tx_watch quiet;
    int64_t rows = rows_of(f, i);
    if (rows == 0) {
      return tx_fail(f->error, TX_ERROR_INPUT,
                     "%s: its texts do not fill %d folds, as the rows of one text stay together; "
                     "give fewer folds, or more texts",
                     f->file, folds);
    }
    kept before = be_quiet(t, t->options, &quiet);
    tx_status status = run_fold(f, i);
    put_back(t, before);
    if (status != TX_OK) return status;
    tx_watch_note(t->watch, "fold %d of %d: accuracy %.4f on %" PRId64 " texts", i + 1, folds,
                  (double)f->right / (double)rows, rows);
  }
  report_folds(f, folds);
  return TX_OK;
}

tx_status tx_repeat_folds(tx_training *t, const tx_label_set *set, const char *file,
                          tx_error *error) {
  const tx_dataset *table = set->split.train_table;
  size_t rows = (size_t)table->rows, floats = rows * (size_t)table->classes;
  folding f = {.t = t,
               .table = table,
               .file = file,
               .truth = {table->marks ? NULL : table->labels, table->marks, NULL},
               .fold = tx_alloc_array(rows, sizeof *f.fold),
               .probabilities = tx_alloc_array(floats, sizeof *f.probabilities),
               .error = error};
  tx_status status = f.fold && f.probabilities
                         ? run_folds(&f, t->options->folds)
                         : tx_fail_memory(error, floats * sizeof *f.probabilities, "the folds");
  tx_free(f.fold), tx_free(f.probabilities);
  return status;
}
