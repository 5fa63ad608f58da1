/* From trainings to the figures of rows: means over seeds, and what the difference from the
 * row that each is compared with shows. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "tasks/ablate.h"
#include "trust/seeds.h"

enum { SEEDS = 100 };

/* The trainings of a row, of the model that has its place now, in the order of the seeds. */
typedef struct {
  const tx_ablation_record *of[SEEDS];
  int count;
} trainings;

static trainings find_trainings(tx_ablation *a, int number) {
  const tx_ablation_recipe *recipe = tx_ablation_recipe_of(number);
  const tx_ablation_model *model = tx_ablation_model_of(a, recipe->size);
  trainings found = {.count = 0};
  for (int s = 0; model && s < a->seeds[number]; s++) {
    const tx_ablation_record *record = tx_ablation_log_find(
        a, recipe->same_as > 0 ? recipe->same_as : number, a->options->seed + (uint64_t)s);
    if (record && strcmp(record->model, model->sha256) == 0) found.of[found.count++] = record;
  }
  return found;
}

/* ---- a row alone ------------------------------------------------------------ */

static tx_ablation_score score_of(const double *values, int count, int64_t rows) {
  tx_mean mean = tx_seeds_accuracy(values, count, rows);
  return (tx_ablation_score){mean.mean, mean.lo, mean.hi};
}

static double share_right(const char *right, int64_t rows) {
  int64_t count = 0;
  for (int64_t i = 0; i < rows; i++) count += right[i] == '1';
  return (double)count / (double)rows;
}

/* Whether two rows start from the same states of frozen blocks, which the cache then keeps for
 * the second. */
static bool share_states(tx_ablation *a, int number, int other) {
  tx_ablation_size sizes[] = {tx_ablation_recipe_of(number)->size,
                              tx_ablation_recipe_of(other)->size};
  const tx_ablation_model *model = tx_ablation_model_of(a, sizes[0]);
  if (!model || model != tx_ablation_model_of(a, sizes[1])) return false;
  tx_train_options x = tx_ablation_settings(a, number, model, 0);
  tx_train_options y = tx_ablation_settings(a, other, model, 0);
  return x.method == y.method && x.blocks == y.blocks && x.init == y.init &&
         x.attention == y.attention && x.pad_to == y.pad_to;
}

/* Some may be there: texts that fill the padding are the same without it, and a text may stand
 * in both tables. */
static bool computed_most(const tx_ablation_record *r) {
  return 2 * r->cached_texts <= r->cached_texts + r->computed_texts;
}

/* The seconds that the row's states took where none of them was kept; -1: not known. */
static double trunk_of(tx_ablation *a, int number) {
  double most = -1;
  for (int other = 1; other <= TX_ABLATION_ROWS; other++) {
    if (tx_ablation_recipe_of(other)->same_as > 0 || !share_states(a, number, other)) continue;
    trainings of = find_trainings(a, other);
    for (int i = 0; i < of.count; i++) {
      if (computed_most(of.of[i])) most = fmax(most, of.of[i]->trunk_seconds);
    }
  }
  return most;
}

/* As if each training had to compute all of its states. */
static void take_times(tx_ablation *a, const trainings *of, tx_ablation_row *row) {
  double seconds = 0, trunk = 0;
  for (int i = 0; i < of->count; i++) {
    seconds += (of->of[i]->seconds - of->of[i]->trunk_seconds) / of->count;
    trunk = fmax(trunk, of->of[i]->trunk_seconds);
  }
  double whole = trunk_of(a, row->same_as > 0 ? row->same_as : row->number);
  row->cached = whole < 0;
  row->trunk_seconds = row->cached ? trunk : whole;
  row->seconds = seconds + row->trunk_seconds;
}

static void take_scores(tx_ablation *a, const trainings *of, tx_ablation_row *row) {
  double train[SEEDS], validation[SEEDS], test[SEEDS];
  if (of->count == 0) return;
  for (int i = 0; i < of->count; i++) {
    const tx_ablation_record *r = of->of[i];
    train[i] = r->train, validation[i] = r->validation;
    test[i] = share_right(r->right, a->test->rows);
  }
  row->seeds = of->count;
  row->trained_parameters = of->of[0]->trained_parameters;
  row->train = score_of(train, of->count, a->train->rows);
  row->validation = score_of(validation, of->count, a->validation->rows);
  row->test = score_of(test, of->count, a->test->rows);
  take_times(a, of, row);
}

/* ---- beside another --------------------------------------------------------- */

/* The row that it is compared with: its own, or where that was not trained the first. */
static int choose_other(tx_ablation *a, int number) {
  int other = tx_ablation_recipe_of(number)->against;
  if (other == 0) return 0;
  if (find_trainings(a, other).count > 0) return other;
  return find_trainings(a, 1).count > 0 ? 1 : 0;
}

/* "+1.3 points, +0.2 to +2.5" */
static void show_difference(const tx_ablation_score *of, int64_t seeds, char *text, size_t size) {
  snprintf(text, size, "%+.1f points, %+.1f to %+.1f%s", 100 * of->mean, 100 * of->lo, 100 * of->hi,
           seeds == 1 ? ", one seed" : "");
}

/* A sentence of the table where the interval leaves out 0, on its side. */
static void write_lesson(const tx_ablation_row *row, int64_t seeds, char *text, size_t size) {
  const tx_ablation_recipe *recipe = tx_ablation_recipe_of(row->number);
  char difference[96];
  show_difference(&row->difference, seeds, difference, sizeof difference);
  bool better = row->difference.lo > 0, worse = row->difference.hi < 0;
  if (!better && !worse) {
    snprintf(text, size, "Cannot be told apart from row %d (%s).", row->against, difference);
  } else if (row->against != recipe->against) { /* what the table says is of another row */
    snprintf(text, size, "%s than row %d (%s).", better ? "Better" : "Worse", row->against,
             difference);
  } else {
    snprintf(text, size, "%s (%s, against row %d)", better ? recipe->better : recipe->worse,
             difference, row->against);
  }
}

/* Of the seeds that both rows have; how many. */
static int64_t compare(tx_ablation *a, const trainings *mine, const trainings *others,
                       tx_ablation_row *row, int other) {
  const char *left[SEEDS], *right[SEEDS];
  int64_t count = 0;
  for (int i = 0; i < mine->count; i++) {
    for (int j = 0; j < others->count; j++) {
      if (mine->of[i]->seed != others->of[j]->seed) continue;
      left[count] = mine->of[i]->right, right[count++] = others->of[j]->right;
    }
  }
  if (count == 0) return 0;
  tx_mean mean = tx_seeds_difference(left, right, count, a->test->rows);
  row->against = other;
  row->difference = (tx_ablation_score){mean.mean, mean.lo, mean.hi};
  return count;
}

static void describe(const tx_ablation_row *row, int64_t seeds, char *text, size_t size) {
  text[0] = '\0';
  if (row->same_as > 0) {
    snprintf(text, size,
             "Row %d's training: each text has one label, so no target is padding that could be "
             "ignored.",
             row->same_as);
  } else if (row->against > 0) {
    write_lesson(row, seeds, text, size);
  }
}

/* ---- all ---------------------------------------------------------------------- */

static tx_status fill_row(tx_ablation *a, int number, tx_ablation_row *row, tx_error *error) {
  const tx_ablation_recipe *recipe = tx_ablation_recipe_of(number);
  const tx_ablation_model *model = tx_ablation_model_of(a, recipe->size);
  char lesson[512];
  *row = (tx_ablation_row){.number = number,
                           .name = recipe->name,
                           .changed = recipe->changed,
                           .model = model ? model->name : "",
                           .skipped = tx_ablation_obstacle(a, number),
                           .same_as = recipe->same_as,
                           .published_train = recipe->train / 100,
                           .published_validation = recipe->validation / 100,
                           .published_test = recipe->test / 100,
                           .published_seconds = recipe->minutes * 60};
  trainings mine = find_trainings(a, number);
  take_scores(a, &mine, row);
  int64_t seeds = 0;
  int other = mine.count > 0 ? choose_other(a, number) : 0;
  if (other > 0) {
    trainings others = find_trainings(a, other);
    seeds = compare(a, &mine, &others, row, other);
  }
  describe(row, seeds, lesson, sizeof lesson);
  row->lesson = tx_arena_string(a->arena, lesson, strlen(lesson));
  return row->lesson ? TX_OK : tx_fail_memory(error, sizeof lesson, "a sentence");
}

tx_status tx_ablation_figures(tx_ablation *a, tx_error *error) {
  for (int number = 1; number <= TX_ABLATION_ROWS; number++) {
    if (!a->wanted[number]) continue;
    TX_TRY(fill_row(a, number, &a->report->rows[a->report->row_count++], error));
  }
  return TX_OK;
}
