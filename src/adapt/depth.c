/* One depth after another: standardise, validate each pooling, compare. */
#include "adapt/depth.h"

#include <math.h>
#include <string.h>

#include "adapt/logistic.h"
#include "adapt/ridge.h"
#include "adapt/standard.h"
#include "base/memory.h"
#include "base/watch.h"
#include "model/trunk.h"

/* Relative to standardised features; the right one differs between tasks. */
static const double penalties[] = {10, 3, 1, 0.3, 0.1, 0.03};
enum { PENALTIES = sizeof penalties / sizeof *penalties, FIRST_PENALTY = 2, POOLINGS = 3 };

/* In the order of their cost. */
static const tx_pooling poolings[POOLINGS] = {TX_POOLING_LAST, TX_POOLING_MEAN,
                                              TX_POOLING_LAST_MEAN};

typedef struct {
  const tx_states *probes;
  int64_t rows, width;
  tx_depth_options options;
  tx_ridge_rows ridge;
  int64_t *order;    /* (rows): by fold, then as they came */
  int64_t *starts;   /* (folds + 1) */
  int32_t *labels;   /* (rows), in that order */
  uint8_t *marks;    /* (rows, classes), in that order; or NULL */
  double whole;      /* what `correct` is of a row that is right */
  float *both;       /* (rows, 2 * width): last and mean, standardised */
  float *single;     /* (rows, width) */
  double *mean, *inverse;
  uint8_t *correct;  /* (3, rows), of one candidate at three penalties */
  uint8_t *kept;     /* (candidates, rows): of each at its best penalty */
} choice;

/* ---- the folds --------------------------------------------------------- */

static tx_status order_by_fold(choice *c, const int32_t *labels, const uint64_t *groups,
                               int classes, tx_error *error) {
  int folds = c->options.folds;
  int32_t *fold = tx_alloc_array((size_t)c->rows, sizeof *fold);
  if (!fold) return tx_fail_memory(error, (uint64_t)c->rows * 4, "the folds");
  int strata = classes + (c->marks ? 1 : 0);
  tx_status status = tx_stratified_folds(labels, strata, groups, c->rows, folds, c->options.seed,
                                         fold, error);
  int64_t at = 0;
  for (int f = 0; status == TX_OK && f < folds; f++) {
    c->starts[f] = at;
    for (int64_t i = 0; i < c->rows; i++) {
      if (fold[i] == f) c->order[at++] = i;
    }
  }
  c->starts[folds] = at;
  for (int64_t i = 0; status == TX_OK && i < c->rows; i++) c->labels[i] = labels[c->order[i]];
  for (int64_t i = 0; status == TX_OK && c->marks && i < c->rows; i++) {
    memcpy(c->marks + i * classes, c->options.marks + c->order[i] * classes, (size_t)classes);
  }
  tx_free(fold);
  c->ridge = (tx_ridge_rows){c->rows, c->labels, classes, folds, c->starts, c->marks};
  return status;
}

/* ---- the candidates ----------------------------------------------------- */

static double weight_of(const choice *c, int64_t row) {
  return c->options.class_weights ? c->options.class_weights[c->labels[row]] : 1;
}

static double accuracy_of(const choice *c, const uint8_t *correct) {
  double right = 0, all = 0;
  for (int64_t i = 0; i < c->rows; i++) {
    right += correct[i] ? weight_of(c, i) * (double)correct[i] / c->whole : 0;
    all += weight_of(c, i);
  }
  return right / all;
}

static void take_features(choice *c, int depth) {
  int64_t both = TX_PROBE_PARTS * c->width;
  for (int64_t i = 0; i < c->rows; i++) {
    const float *probe = c->probes->rows + c->order[i] * c->probes->width;
    memcpy(c->both + i * both, probe + depth * both, (size_t)both * sizeof *probe);
  }
  tx_standard_fit(c->both, both, c->rows, both, c->mean, c->inverse);
  tx_standard_apply(c->both, both, c->rows, both, c->mean, c->inverse, c->both);
}

/* The columns of one pooling: the last token's come first, then the mean's. */
static const float *columns_of(choice *c, tx_pooling pooling, int64_t *width) {
  *width = tx_pool_parts(pooling) * c->width;
  if (pooling == TX_POOLING_LAST_MEAN) return c->both;
  const float *from = c->both + (pooling == TX_POOLING_MEAN ? c->width : 0);
  for (int64_t i = 0; i < c->rows; i++) {
    memcpy(c->single + i * c->width, from + i * 2 * c->width, (size_t)c->width * sizeof *from);
  }
  return c->single;
}

/* Three neighbouring penalties around the one that was best a depth before, then
 * further while the best of them is at an end: accuracy has one peak over them. */
static tx_status try_candidate(choice *c, tx_depth_score *score, int *centre, uint8_t *kept,
                               tx_error *error) {
  int64_t width;
  const float *features = columns_of(c, score->pooling, &width);
  int from = *centre > 0 ? *centre - 1 : 0, end = *centre + 2 < PENALTIES ? *centre + 2 : PENALTIES;
  int low = from, high = end; /* tried so far */
  score->accuracy = -1;
  while (from < end) {
    TX_TRY(tx_ridge_validate(&c->ridge, features, width, penalties + from, end - from, c->correct,
                             error));
    for (int p = from; p < end; p++) {
      const uint8_t *correct = c->correct + (p - from) * c->rows;
      double accuracy = accuracy_of(c, correct);
      if (accuracy <= score->accuracy) continue;
      score->accuracy = accuracy;
      *centre = p;
      memcpy(kept, correct, (size_t)c->rows);
    }
    from = end = 0;
    if (*centre == low && low > 0) {
      from = low - 1, end = low--;
    } else if (*centre == high - 1 && high < PENALTIES) {
      from = high, end = ++high;
    }
  }
  return TX_OK;
}

/* `count` scores, in the order of depth, then of cost. */
static tx_status try_all(choice *c, tx_depth_score *scores, int *count, const tx_watch *watch,
                         tx_error *error) {
  int depths = c->options.highest - c->options.lowest + 1;
  int centres[POOLINGS] = {FIRST_PENALTY, FIRST_PENALTY, FIRST_PENALTY};
  *count = 0;
  for (int d = 0; d < depths; d++) {
    TX_TRY(tx_watch_check(watch, error));
    tx_watch_report(watch, "depth", d, depths, "depths");
    take_features(c, c->options.lowest + d);
    for (int p = 0; p < POOLINGS; p++) {
      if (c->options.pooling != TX_POOLING_AUTO && c->options.pooling != poolings[p]) continue;
      tx_depth_score *score = &scores[*count];
      score->depth = c->options.lowest + d;
      score->pooling = poolings[p];
      TX_TRY(try_candidate(c, score, &centres[p], c->kept + *count * c->rows, error));
      ++*count;
    }
  }
  tx_watch_report(watch, "depth", depths, depths, "depths");
  return TX_OK;
}

/* ---- the choice --------------------------------------------------------- */

/* The standard error of the mean of the rows' differences, 1, 0 or -1 times
 * their weights. */
static double paired_error(const choice *c, const uint8_t *best, const uint8_t *other) {
  double sum = 0, squares = 0, all = 0;
  for (int64_t i = 0; i < c->rows; i++) {
    double difference = ((double)best[i] - (double)other[i]) / c->whole * weight_of(c, i);
    sum += difference;
    squares += difference * difference;
    all += weight_of(c, i);
  }
  double variance = squares - sum * sum / (double)c->rows;
  return sqrt(variance > 0 ? variance : 0) / all;
}

/* Scores rise by depth, and of equal accuracies the first is the best: the
 * shallowest, and there the pooling that costs least. */
static void choose(const choice *c, tx_depth_score *scores, int count) {
  int best = 0, chosen = 0;
  for (int i = 1; i < count; i++) {
    if (scores[i].accuracy > scores[best].accuracy) best = i;
  }
  for (int i = 0; i < count; i++) {
    scores[i].standard_error =
        paired_error(c, c->kept + best * c->rows, c->kept + i * c->rows);
  }
  while (scores[best].accuracy - scores[chosen].accuracy > scores[chosen].standard_error) chosen++;
  for (int i = chosen + 1; i < count && scores[i].depth == scores[chosen].depth; i++) {
    if (scores[i].accuracy > scores[chosen].accuracy) chosen = i;
  }
  scores[chosen].chosen = true;
}

/* ---- the whole ---------------------------------------------------------- */

static bool allocate(choice *c, int classes, int candidates) {
  size_t rows = (size_t)c->rows, width = (size_t)c->width;
  c->order = tx_alloc_array(rows, sizeof *c->order);
  c->starts = tx_alloc_array((size_t)c->options.folds + 1, sizeof *c->starts);
  c->labels = tx_alloc_array(rows, sizeof *c->labels);
  if (c->options.marks) {
    c->marks = tx_alloc_array(rows, (size_t)classes);
    if (!c->marks) return false;
  }
  c->both = tx_alloc_array(2 * rows * width, sizeof *c->both);
  c->single = tx_alloc_array(rows * width, sizeof *c->single);
  c->mean = tx_alloc_array(2 * width, sizeof *c->mean);
  c->inverse = tx_alloc_array(2 * width, sizeof *c->inverse);
  c->correct = tx_alloc_array(3 * rows, sizeof *c->correct);
  c->kept = tx_alloc_array((size_t)candidates * rows, sizeof *c->kept);
  return c->order && c->starts && c->labels && c->both && c->single && c->mean && c->inverse &&
         c->correct && c->kept;
}

static tx_status try_and_choose(choice *c, const int32_t *labels, const uint64_t *groups,
                                int classes, int candidates, tx_depth_score *scores,
                                const tx_watch *watch, tx_error *error) {
  tx_status status = TX_OK;
  int count = 0;
  if (!allocate(c, classes, candidates)) {
    status = tx_fail_memory(error, (uint64_t)(c->rows * c->width) * 12, "choosing the depth");
  }
  if (status == TX_OK) status = order_by_fold(c, labels, groups, classes, error);
  if (status == TX_OK) status = try_all(c, scores, &count, watch, error);
  if (status == TX_OK) choose(c, scores, count);
  tx_free(c->order), tx_free(c->starts), tx_free(c->labels), tx_free(c->both), tx_free(c->single);
  tx_free(c->mean), tx_free(c->inverse), tx_free(c->correct), tx_free(c->kept);
  tx_free(c->marks);
  return status;
}

static tx_status find_key(const choice *c, const int32_t *labels, const uint64_t *groups,
                          int classes, tx_cache_key *made, const tx_watch *watch,
                          tx_error *error) {
  const tx_depth_options *o = &c->options;
  const int64_t numbers[] = {c->rows,         c->width,  classes,         o->lowest, o->highest,
                             (int)o->pooling, o->folds, (int64_t)o->seed};
  uint64_t row = (uint64_t)((o->highest + 1) * TX_PROBE_PARTS * c->width) * sizeof(float);
  tx_cache_key key = tx_memo_key("depth 1");
  tx_memo_add(&key, numbers, sizeof numbers);
  tx_memo_add(&key, o->class_weights, o->class_weights ? (uint64_t)classes * sizeof(double) : 0);
  tx_memo_add(&key, labels, (uint64_t)c->rows * sizeof *labels);
  if (o->marks) tx_memo_add(&key, o->marks, (uint64_t)(c->rows * classes));
  tx_memo_add(&key, groups, groups ? (uint64_t)c->rows * sizeof *groups : 0);
  for (int64_t i = 0; i < c->rows; i++) {
    if (i % 1024 == 0) TX_TRY(tx_watch_check(watch, error));
    tx_memo_add(&key, c->probes->rows + i * c->probes->width, row);
  }
  *made = key;
  return TX_OK;
}

tx_status tx_depth_choose(const tx_states *probes, int64_t width, const int32_t *labels,
                          const uint64_t *groups, int classes, tx_depth_options options,
                          tx_depth_score *scores, int *count, const tx_watch *watch,
                          tx_error *error) {
  choice c = {.probes = probes, .rows = probes->count, .width = width, .options = options};
  c.whole = options.marks ? TX_RIDGE_WHOLE : 1;
  int depths = options.highest - options.lowest + 1;
  *count = options.pooling == TX_POOLING_AUTO ? POOLINGS * depths : depths;
  memset(scores, 0, (size_t)*count * sizeof *scores); /* no gap between members is left unset */
  const tx_memo_part result = {scores, (uint64_t)*count * sizeof *scores};
  tx_cache_key key = {0, 0};
  if (options.memo) TX_TRY(find_key(&c, labels, groups, classes, &key, watch, error));
  if (tx_memo_recall(options.memo, key, &result, 1)) return TX_OK;
  TX_TRY(try_and_choose(&c, labels, groups, classes, *count, scores, watch, error));
  tx_memo_keep(options.memo, key, &result, 1);
  return TX_OK;
}
