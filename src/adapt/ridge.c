/* The other folds' covariance for each fold and penalty, or, where there are fewer
 * rows than features, their inner products instead (the dual form: Hastie,
 * Tibshirani and Friedman, 18.3.5); a Cholesky factorisation of it; and scores. */
#include "adapt/ridge.h"

#include <string.h>

#include "adapt/cholesky.h"
#include "base/memory.h"
#include "base/parallel.h"

enum { BLOCK = TX_PANEL };

typedef struct {
  const tx_kernels *kernels;
  const tx_ridge_rows *rows;
  const float *features;
  int64_t width, panels; /* of the right-hand sides */
  const double *penalties;
  int count;
  uint8_t *correct;
  bool dual;       /* unknowns are rows, not features */
  float *grams;    /* (folds + 1, width, width); the last: of all rows; dual: (rows, rows) */
  double *sums;    /* (folds + 1, sums_of, width): the rows of each label added up; not dual */
  int64_t sums_of; /* classes; with marks the last further one is of all rows */
  int64_t *labels; /* (folds + 1, classes): how many rows of each label */
  float *scratch;  /* (workers, scratch_floats) */
  int64_t scratch_floats, most_rows; /* of a fold */
  int64_t most_unknowns;             /* of a system */
} ridge;

/* One worker's memory. */
typedef struct {
  tx_cholesky system;
  float *right;  /* (panels, unknowns, BLOCK) */
  float *mean;   /* (unknowns) */
  float *cross;  /* dual: (a fold's rows, unknowns), the inner products of both */
  float *scores; /* (a fold's rows, panels * BLOCK) */
  float *bias;   /* (panels * BLOCK) */
} scratch;

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }

/* What one worker's memory is divided into. */
enum { MATRIX, INVERSES, PANEL, RESULT, RIGHT, MEAN, CROSS, SCORES, BIAS, PARTS };

/* The floats of each; returns those of all. */
static int64_t sizes_of(const ridge *r, int64_t sizes[PARTS]) {
  int64_t unknowns = r->most_unknowns, blocks = (unknowns + BLOCK - 1) / BLOCK, all = 0;
  sizes[MATRIX] = unknowns * unknowns;
  sizes[INVERSES] = blocks * BLOCK * BLOCK;
  sizes[PANEL] = sizes[RESULT] = unknowns * BLOCK;
  sizes[RIGHT] = r->panels * unknowns * BLOCK;
  sizes[MEAN] = unknowns;
  sizes[CROSS] = r->dual ? r->most_rows * unknowns : 0;
  sizes[SCORES] = r->most_rows * r->panels * BLOCK;
  sizes[BIAS] = r->panels * BLOCK;
  for (int i = 0; i < PARTS; i++) all += sizes[i];
  return all;
}

static scratch scratch_of(const ridge *r, int worker) {
  int64_t sizes[PARTS];
  float *part[PARTS], *at = r->scratch + worker * r->scratch_floats;
  sizes_of(r, sizes);
  for (int i = 0; i < PARTS; i++) part[i] = at, at += sizes[i];
  return (scratch){.system = {.kernels = r->kernels,
                              .size = r->most_unknowns,
                              .matrix = part[MATRIX],
                              .inverses = part[INVERSES],
                              .panel = part[PANEL],
                              .result = part[RESULT]},
                   .right = part[RIGHT],
                   .mean = part[MEAN],
                   .cross = part[CROSS],
                   .scores = part[SCORES],
                   .bias = part[BIAS]};
}

/* ---- one fold at one penalty --------------------------------------------- */

static int64_t rows_of(const ridge *r, int fold) {
  return r->rows->fold_starts[fold + 1] - r->rows->fold_starts[fold];
}

static bool holds(const tx_ridge_rows *rows, int64_t row, int label) {
  if (rows->marks) return rows->marks[row * rows->classes + label] != 0;
  return rows->labels[row] == label;
}

/* How many rows of the other folds have the label, of all of those. */
static double share_of(const ridge *r, int fold, int label) {
  int classes = r->rows->classes, folds = r->rows->folds;
  int64_t count = r->labels[folds * classes + label] - r->labels[fold * classes + label];
  return (double)count / (double)(r->rows->rows - rows_of(r, fold));
}

static float *column_of(const scratch *s, int label) {
  return s->right + label / BLOCK * s->system.size * BLOCK + label % BLOCK;
}

/* The centred covariance of the other folds' rows plus the penalty, and the
 * covariance with each label's indicator. */
static void set_up(const ridge *r, int fold, double penalty, scratch *s) {
  int64_t width = r->width, square = width * width;
  int classes = r->rows->classes, folds = r->rows->folds;
  const float *all = r->grams + folds * square, *left_out = r->grams + fold * square;
  int64_t of = r->sums_of * width;
  const double *sums = r->sums + folds * of, *own_sums = r->sums + fold * of;
  double rows = (double)(r->rows->rows - rows_of(r, fold));
  for (int64_t k = 0; k < width; k++) {
    double sum = 0;
    for (int64_t c = r->rows->marks ? classes : 0; c < r->sums_of; c++) {
      sum += sums[c * width + k] - own_sums[c * width + k];
    }
    s->mean[k] = (float)(sum / rows);
  }
  float inverse = 1.0f / (float)rows;
  for (int64_t i = 0; i < width; i++) {
    float *row = s->system.matrix + i * width;
    for (int64_t k = 0; k <= i; k++) {
      row[k] = (all[i * width + k] - left_out[i * width + k]) * inverse - s->mean[i] * s->mean[k];
    }
    row[i] += (float)penalty;
  }
  for (int c = 0; c < classes; c++) {
    double share = share_of(r, fold, c);
    float *column = column_of(s, c);
    for (int64_t k = 0; k < width; k++) {
      double sum = sums[c * width + k] - own_sums[c * width + k];
      column[k * BLOCK] = (float)(sum / rows - share * (double)s->mean[k]);
    }
  }
}

/* The bias of scores on features that are not centred. */
static void shift_bias(const ridge *r, scratch *s) {
  for (int c = 0; c < r->rows->classes; c++) {
    const float *column = column_of(s, c);
    for (int64_t k = 0; k < r->width; k++) s->bias[c] -= s->mean[k] * column[k * BLOCK];
  }
}

/* The mean inner product of a row with the `count` rows outside [from, end). */
static double mean_product(const float *products, int64_t from, int64_t end, int64_t rows) {
  double sum = 0;
  for (int64_t i = 0; i < from; i++) sum += (double)products[i];
  for (int64_t i = end; i < rows; i++) sum += (double)products[i];
  return sum / (double)(rows - (end - from));
}

/* The inner products of the other folds' rows, centred, plus the penalty on their
 * mean; those of the fold's rows with them; and the labels' indicators, centred. */
static void set_up_dual(const ridge *r, int fold, double penalty, scratch *s) {
  int64_t rows = r->rows->rows, from = r->rows->fold_starts[fold], own = rows_of(r, fold);
  int64_t unknowns = s->system.size;
  double mean = 0;
  for (int64_t i = 0; i < unknowns; i++) {
    int64_t row = i < from ? i : i + own;
    double of_row = mean_product(r->grams + row * rows, from, from + own, rows);
    s->mean[i] = (float)of_row;
    mean += of_row / (double)unknowns;
  }
  for (int64_t i = 0; i < unknowns; i++) {
    const float *products = r->grams + (i < from ? i : i + own) * rows;
    float *row = s->system.matrix + i * unknowns, shift = (float)(mean - (double)s->mean[i]);
    for (int64_t k = 0; k <= i; k++) {
      row[k] = products[k < from ? k : k + own] - s->mean[k] + shift;
    }
    row[i] += (float)(penalty * (double)unknowns);
  }
  for (int64_t i = 0; i < own; i++) {
    const float *products = r->grams + (from + i) * rows;
    float *row = s->cross + i * unknowns;
    float shift = (float)(mean - mean_product(products, from, from + own, rows));
    for (int64_t k = 0; k < unknowns; k++) {
      row[k] = products[k < from ? k : k + own] - s->mean[k] + shift;
    }
  }
  for (int c = 0; c < r->rows->classes; c++) {
    float *column = column_of(s, c), share = s->bias[c];
    for (int64_t i = 0; i < unknowns; i++) {
      column[i * BLOCK] = (holds(r->rows, i < from ? i : i + own, c) ? 1 : 0) - share;
    }
  }
}

/* How many labels come before this one by score. */
static int rank_of(const float *scores, int classes, int label) {
  int before = 0;
  for (int c = 0; c < classes; c++) {
    before += scores[c] > scores[label] || (c < label && !(scores[c] < scores[label]));
  }
  return before;
}

static uint8_t judge_marks(const tx_ridge_rows *rows, int64_t row, const float *scores) {
  int count = 0, found = 0, classes = rows->classes;
  bool none = true;
  for (int c = 0; c < classes; c++) {
    count += holds(rows, row, c);
    if (scores[c] >= 0.5f) none = false;
  }
  if (count == 0) return none ? TX_RIDGE_WHOLE : 0;
  for (int c = 0; c < classes; c++) {
    if (holds(rows, row, c)) found += rank_of(scores, classes, c) < count;
  }
  return (uint8_t)(TX_RIDGE_WHOLE * found / count);
}

static uint8_t judge_label(const tx_ridge_rows *rows, int64_t row, const float *scores) {
  int32_t best = 0;
  for (int32_t c = 1; c < rows->classes; c++) best = scores[c] > scores[best] ? c : best;
  return best == rows->labels[row];
}

/* x (the fold's rows, unknowns) times the solution. */
static void judge(const ridge *r, int fold, int penalty, const float *x, scratch *s) {
  int64_t from = r->rows->fold_starts[fold], rows = rows_of(r, fold);
  int64_t stride = r->panels * BLOCK, size = s->system.size;
  for (int64_t p = 0; p < r->panels; p++) {
    r->kernels->product(rows, size, BLOCK, x, size, 1, s->right + p * size * BLOCK,
                        s->bias + p * BLOCK, false, s->scores + p * BLOCK, stride);
  }
  for (int64_t i = 0; i < rows; i++) {
    r->correct[penalty * r->rows->rows + from + i] =
        (r->rows->marks ? judge_marks : judge_label)(r->rows, from + i, s->scores + i * stride);
  }
}

static void fit_task(void *context, int64_t index, int worker) {
  const ridge *r = context;
  int fold = (int)(index / r->count), penalty = (int)(index % r->count);
  int64_t rows = rows_of(r, fold);
  if (rows == 0 || rows == r->rows->rows) return; /* nothing held out, or nothing to fit */
  scratch s = scratch_of(r, worker);
  if (r->dual) s.system.size = r->rows->rows - rows;
  int64_t panel = s.system.size * BLOCK;
  memset(s.right, 0, (size_t)(r->panels * panel) * sizeof *s.right);
  memset(s.bias, 0, (size_t)(r->panels * BLOCK) * sizeof *s.bias);
  for (int c = 0; c < r->rows->classes; c++) s.bias[c] = (float)share_of(r, fold, c);
  (r->dual ? set_up_dual : set_up)(r, fold, r->penalties[penalty], &s);
  tx_cholesky_factor(&s.system);
  for (int64_t p = 0; p < r->panels; p++) tx_cholesky_solve(&s.system, s.right + p * panel);
  if (!r->dual) shift_bias(r, &s);
  const float *features = r->features + r->rows->fold_starts[fold] * r->width;
  judge(r, fold, penalty, r->dual ? s.cross : features, &s);
}

/* ---- the whole ------------------------------------------------------------ */

static tx_status make_grams(ridge *r, tx_error *error) {
  int64_t width = r->width, square = width * width;
  const tx_ridge_rows *rows = r->rows;
  size_t floats = tx_packed_size(r->most_rows, width);
  float *packed = tx_alloc_array(floats, sizeof *packed);
  if (!packed) return tx_fail_memory(error, floats * sizeof *packed, "cross-validation");
  float *all = r->grams + rows->folds * square;
  memset(all, 0, (size_t)square * sizeof *all);
  for (int f = 0; f < rows->folds; f++) {
    int64_t from = rows->fold_starts[f], count = rows->fold_starts[f + 1] - from;
    float *gram = r->grams + f * square;
    tx_pack(r->features + from * width, width, 1, count, width, packed);
    tx_product product = {.kernels = r->kernels, .rows = width, .depth = count, .columns = width,
                          .x = r->features + from * width, .x_row = 1, .x_step = width,
                          .panels = packed, .y = gram, .y_row = width};
    if (count > 0) tx_product_run(&product);
    else memset(gram, 0, (size_t)square * sizeof *gram);
    r->kernels->add(all, gram, square);
  }
  tx_free(packed);
  return TX_OK;
}

static tx_status make_products(ridge *r, tx_error *error) {
  int64_t rows = r->rows->rows;
  size_t floats = tx_packed_size(r->width, rows);
  float *packed = tx_alloc_array(floats, sizeof *packed);
  if (!packed) return tx_fail_memory(error, floats * sizeof *packed, "cross-validation");
  tx_pack(r->features, 1, r->width, r->width, rows, packed);
  tx_product product = {.kernels = r->kernels, .rows = rows, .depth = r->width, .columns = rows,
                        .x = r->features, .x_row = r->width, .x_step = 1,
                        .panels = packed, .y = r->grams, .y_row = rows};
  tx_product_run(&product);
  tx_free(packed);
  return TX_OK;
}

static void add_row(ridge *r, int64_t row, int64_t sum) {
  double *sums = r->sums + sum * r->width;
  for (int64_t k = 0; k < r->width; k++) sums[k] += (double)r->features[row * r->width + k];
}

/* The dual form has the products, not the sums. */
static void add_up_fold(ridge *r, int fold) {
  const tx_ridge_rows *rows = r->rows;
  int classes = rows->classes;
  for (int64_t i = rows->fold_starts[fold]; i < rows->fold_starts[fold + 1]; i++) {
    int from = rows->marks ? 0 : rows->labels[i], end = rows->marks ? classes : from + 1;
    for (int c = from; c < end; c++) {
      if (!holds(rows, i, c)) continue;
      r->labels[fold * classes + c]++;
      if (!r->dual) add_row(r, i, fold * r->sums_of + c);
    }
    if (rows->marks && !r->dual) add_row(r, i, fold * r->sums_of + classes);
  }
}

static void add_up_labels(ridge *r) {
  const tx_ridge_rows *rows = r->rows;
  int64_t classes = rows->classes, width = r->dual ? 0 : r->width;
  for (int f = 0; f < rows->folds; f++) add_up_fold(r, f);
  for (int64_t i = 0; i < rows->folds * classes; i++) {
    r->labels[rows->folds * classes + i % classes] += r->labels[i];
  }
  for (int64_t i = 0; i < rows->folds * r->sums_of; i++) {
    int64_t all = rows->folds * r->sums_of + i % r->sums_of;
    for (int64_t k = 0; k < width; k++) r->sums[all * width + k] += r->sums[i * width + k];
  }
}

tx_status tx_ridge_validate(const tx_ridge_rows *rows, const float *features, int64_t width,
                            const double *penalties, int count, uint8_t *correct,
                            tx_error *error) {
  ridge r = {.kernels = tx_kernels_get(), .rows = rows, .features = features, .width = width,
             .panels = (rows->classes + BLOCK - 1) / BLOCK, .penalties = penalties, .count = count,
             .correct = correct};
  int64_t fewest_rows = rows->rows, sets = rows->folds + 1;
  for (int f = 0; f < rows->folds; f++) {
    r.most_rows = most(r.most_rows, rows_of(&r, f));
    fewest_rows = least(fewest_rows, rows_of(&r, f));
  }
  r.dual = rows->rows < width;
  r.sums_of = rows->classes + (rows->marks ? 1 : 0);
  r.most_unknowns = r.dual ? rows->rows - fewest_rows : width;
  int64_t sizes[PARTS];
  r.scratch_floats = sizes_of(&r, sizes);
  int64_t grams = r.dual ? rows->rows * rows->rows : sets * width * width;
  r.grams = tx_alloc_array((size_t)grams, sizeof *r.grams);
  r.sums = tx_alloc_zero((size_t)(sets * r.sums_of * width), sizeof *r.sums);
  r.labels = tx_alloc_zero((size_t)(sets * rows->classes), sizeof *r.labels);
  r.scratch = tx_alloc_array((size_t)(tx_threads() * r.scratch_floats), sizeof *r.scratch);
  tx_status status = TX_OK;
  if (!r.grams || !r.sums || !r.labels || !r.scratch) {
    status = tx_fail_memory(error, (uint64_t)grams * 4, "cross-validation");
  }
  if (status == TX_OK) status = (r.dual ? make_products : make_grams)(&r, error);
  if (status == TX_OK) {
    memset(correct, 0, (size_t)(count * rows->rows));
    add_up_labels(&r);
    tx_parallel((int64_t)rows->folds * count, fit_task, &r);
  }
  tx_free(r.grams), tx_free(r.sums), tx_free(r.labels), tx_free(r.scratch);
  return status;
}
