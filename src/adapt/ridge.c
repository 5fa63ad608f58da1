/* Gram matrices by fold, a blocked Cholesky factorisation for each fold and
 * penalty, and scores, all from the packed product.  A right-hand side is held as
 * panels of TX_PANEL columns, which is the product's own packed form. */
#include "adapt/ridge.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "base/parallel.h"
#include "kernels/product.h"

enum { BLOCK = TX_PANEL };

typedef struct {
  const tx_kernels *kernels;
  const tx_ridge_rows *rows;
  const float *features;
  int64_t width, panels; /* of the right-hand sides */
  const double *penalties;
  int count;
  uint8_t *correct;
  float *grams;    /* (folds + 1, width, width); the last: of all rows */
  double *sums;    /* (folds + 1, classes, width): the rows of each label added up */
  int64_t *labels; /* (folds + 1, classes): how many rows of each label */
  float *scratch;  /* (workers, scratch_floats) */
  int64_t scratch_floats, most_rows; /* of a fold */
} ridge;

/* One worker's memory. */
typedef struct {
  float *matrix;   /* (width, width): the lower triangle becomes the factor */
  float *inverses; /* (blocks, BLOCK, BLOCK): of the factor's diagonal blocks */
  float *right;    /* (panels, width, BLOCK) */
  float *panel;    /* (width, BLOCK) */
  float *result;   /* (width or a fold's rows, BLOCK) */
  float *scores;   /* (a fold's rows, panels * BLOCK) */
  float *bias;     /* (panels * BLOCK) */
} scratch;

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }

static scratch scratch_of(const ridge *r, int worker) {
  int64_t blocks = (r->width + BLOCK - 1) / BLOCK;
  scratch s = {.matrix = r->scratch + worker * r->scratch_floats};
  s.inverses = s.matrix + r->width * r->width;
  s.right = s.inverses + blocks * BLOCK * BLOCK;
  s.panel = s.right + r->panels * r->width * BLOCK;
  s.result = s.panel + r->width * BLOCK;
  s.scores = s.result + most(r->width, r->most_rows) * BLOCK;
  s.bias = s.scores + r->most_rows * r->panels * BLOCK;
  return s;
}

/* ---- the factorisation -------------------------------------------------- */

/* The lower triangle of a (size, size) block, in place, and its inverse. */
static void factor_block(float *a, int64_t stride, int64_t size, float *inverse) {
  for (int64_t j = 0; j < size; j++) {
    for (int64_t i = j; i < size; i++) {
      double sum = (double)a[i * stride + j];
      for (int64_t k = 0; k < j; k++) {
        sum -= (double)a[i * stride + k] * (double)a[j * stride + k];
      }
      /* The penalty keeps pivots above 0; rounding may not. */
      a[i * stride + j] = (float)(i == j ? sqrt(sum > 1e-12 ? sum : 1e-12)
                                         : sum / (double)a[j * stride + j]);
    }
  }
  memset(inverse, 0, (size_t)(BLOCK * BLOCK) * sizeof *inverse);
  for (int64_t j = 0; j < size; j++) {
    for (int64_t i = j; i < size; i++) {
      double sum = i == j ? 1 : 0;
      for (int64_t k = j; k < i; k++) {
        sum -= (double)a[i * stride + k] * (double)inverse[k * BLOCK + j];
      }
      inverse[i * BLOCK + j] = (float)(sum / (double)a[i * stride + i]);
    }
  }
}

/* Left-looking, one block of columns after another. */
static void factor(const tx_kernels *kernels, int64_t width, scratch *s) {
  for (int64_t from = 0; from < width; from += BLOCK) {
    int64_t size = least(BLOCK, width - from), end = from + size;
    float *rows = s->matrix + from * width, *below = s->matrix + end * width + from;
    float *inverse = s->inverses + from * BLOCK;
    if (from > 0) {
      tx_pack_panel(rows, 1, width, from, size, s->panel);
      kernels->product(width - from, from, size, rows, width, 1, s->panel, NULL, false, s->result,
                       BLOCK);
      for (int64_t i = 0; i < width - from; i++) {
        for (int64_t k = 0; k < size; k++) {
          rows[i * width + from + k] -= s->result[i * BLOCK + k];
        }
      }
    }
    factor_block(rows + from, width, size, inverse);
    if (end == width) break;
    tx_pack_panel(inverse, 1, BLOCK, size, size, s->panel);
    kernels->product(width - end, size, size, below, width, 1, s->panel, NULL, false, s->result,
                     BLOCK);
    for (int64_t i = 0; i < width - end; i++) {
      memcpy(below + i * width, s->result + i * BLOCK, (size_t)size * sizeof(float));
    }
  }
}

static void subtract(float *to, const float *what, int64_t count) {
  for (int64_t i = 0; i < count; i++) to[i] -= what[i];
}

/* right (width, BLOCK) = matrix^-1 right, by the factor. */
static void solve(const tx_kernels *kernels, int64_t width, scratch *s, float *right) {
  int64_t last = (width - 1) / BLOCK * BLOCK;
  for (int64_t from = 0; from < width; from += BLOCK) {
    int64_t size = least(BLOCK, width - from);
    float *part = right + from * BLOCK;
    if (from > 0) {
      kernels->product(size, from, BLOCK, s->matrix + from * width, width, 1, right, NULL, false,
                       s->result, BLOCK);
      subtract(part, s->result, size * BLOCK);
    }
    kernels->product(size, size, BLOCK, s->inverses + from * BLOCK, BLOCK, 1, part, NULL, false,
                     s->result, BLOCK);
    memcpy(part, s->result, (size_t)(size * BLOCK) * sizeof *part);
  }
  for (int64_t from = last; from >= 0; from -= BLOCK) {
    int64_t size = least(BLOCK, width - from), end = from + size;
    float *part = right + from * BLOCK;
    if (end < width) {
      kernels->product(size, width - end, BLOCK, s->matrix + end * width + from, 1, width,
                       right + end * BLOCK, NULL, false, s->result, BLOCK);
      subtract(part, s->result, size * BLOCK);
    }
    kernels->product(size, size, BLOCK, s->inverses + from * BLOCK, 1, BLOCK, part, NULL, false,
                     s->result, BLOCK);
    memcpy(part, s->result, (size_t)(size * BLOCK) * sizeof *part);
  }
}

/* ---- one fold at one penalty --------------------------------------------- */

/* The centred covariance of the other folds' rows plus the penalty, and the
 * covariance with each label's indicator. */
static void set_up(const ridge *r, int fold, double penalty, scratch *s) {
  int64_t width = r->width, square = width * width;
  int classes = r->rows->classes, folds = r->rows->folds;
  const float *all = r->grams + folds * square, *left_out = r->grams + fold * square;
  const int64_t *labels = r->labels + (int64_t)folds * classes;
  const int64_t *own = r->labels + (int64_t)fold * classes;
  const double *sums = r->sums + folds * classes * width, *own_sums = r->sums + fold * classes * width;
  int64_t rows = 0;
  for (int c = 0; c < classes; c++) rows += labels[c] - own[c];
  float *mean = s->panel; /* (width), free until the factorisation */
  for (int64_t k = 0; k < width; k++) {
    double sum = 0;
    for (int c = 0; c < classes; c++) sum += sums[c * width + k] - own_sums[c * width + k];
    mean[k] = (float)(sum / (double)rows);
  }
  float inverse = 1.0f / (float)rows;
  for (int64_t i = 0; i < width; i++) {
    float *row = s->matrix + i * width;
    for (int64_t k = 0; k <= i; k++) {
      row[k] = (all[i * width + k] - left_out[i * width + k]) * inverse - mean[i] * mean[k];
    }
    row[i] += (float)penalty;
  }
  memset(s->right, 0, (size_t)(r->panels * width * BLOCK) * sizeof *s->right);
  memset(s->bias, 0, (size_t)(r->panels * BLOCK) * sizeof *s->bias);
  for (int c = 0; c < classes; c++) {
    double share = (double)(labels[c] - own[c]) / (double)rows;
    float *column = s->right + c / BLOCK * width * BLOCK + c % BLOCK;
    s->bias[c] = (float)share;
    for (int64_t k = 0; k < width; k++) {
      double sum = sums[c * width + k] - own_sums[c * width + k];
      column[k * BLOCK] = (float)(sum / (double)rows - share * (double)mean[k]);
    }
  }
}

/* The mean is wanted once more after the factorisation used its place. */
static void add_bias(const ridge *r, int fold, scratch *s) {
  int64_t width = r->width;
  int classes = r->rows->classes, folds = r->rows->folds;
  const double *sums = r->sums + folds * classes * width, *own = r->sums + fold * classes * width;
  int64_t rows = r->rows->rows - (r->rows->fold_starts[fold + 1] - r->rows->fold_starts[fold]);
  for (int64_t k = 0; k < width; k++) {
    double mean = 0;
    for (int c = 0; c < classes; c++) mean += sums[c * width + k] - own[c * width + k];
    float centre = (float)(mean / (double)rows);
    for (int64_t c = 0; c < classes; c++) {
      s->bias[c] -= centre * s->right[c / BLOCK * width * BLOCK + k * BLOCK + c % BLOCK];
    }
  }
}

static void judge(const ridge *r, int fold, int penalty, scratch *s) {
  int64_t from = r->rows->fold_starts[fold], rows = r->rows->fold_starts[fold + 1] - from;
  int64_t stride = r->panels * BLOCK;
  for (int64_t p = 0; p < r->panels; p++) {
    r->kernels->product(rows, r->width, BLOCK, r->features + from * r->width, r->width, 1,
                        s->right + p * r->width * BLOCK, s->bias + p * BLOCK, false,
                        s->scores + p * BLOCK, stride);
  }
  for (int64_t i = 0; i < rows; i++) {
    const float *scores = s->scores + i * stride;
    int32_t best = 0;
    for (int32_t c = 1; c < r->rows->classes; c++) best = scores[c] > scores[best] ? c : best;
    r->correct[penalty * r->rows->rows + from + i] = best == r->rows->labels[from + i];
  }
}

static void fit_task(void *context, int64_t index, int worker) {
  const ridge *r = context;
  int fold = (int)(index / r->count), penalty = (int)(index % r->count);
  int64_t rows = r->rows->fold_starts[fold + 1] - r->rows->fold_starts[fold];
  if (rows == 0 || rows == r->rows->rows) return; /* nothing held out, or nothing to fit */
  scratch s = scratch_of(r, worker);
  set_up(r, fold, r->penalties[penalty], &s);
  factor(r->kernels, r->width, &s);
  for (int64_t p = 0; p < r->panels; p++) {
    solve(r->kernels, r->width, &s, s.right + p * r->width * BLOCK);
  }
  add_bias(r, fold, &s);
  judge(r, fold, penalty, &s);
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

static void add_up_labels(ridge *r) {
  const tx_ridge_rows *rows = r->rows;
  int64_t width = r->width, classes = rows->classes;
  for (int f = 0; f < rows->folds; f++) {
    for (int64_t i = rows->fold_starts[f]; i < rows->fold_starts[f + 1]; i++) {
      int64_t own = f * classes + rows->labels[i];
      double *sums = r->sums + own * width;
      r->labels[own]++;
      for (int64_t k = 0; k < width; k++) sums[k] += (double)r->features[i * width + k];
    }
  }
  for (int64_t i = 0; i < rows->folds * classes; i++) {
    int64_t all = rows->folds * classes + i % classes;
    r->labels[all] += r->labels[i];
    for (int64_t k = 0; k < width; k++) r->sums[all * width + k] += r->sums[i * width + k];
  }
}

tx_status tx_ridge_validate(const tx_ridge_rows *rows, const float *features, int64_t width,
                            const double *penalties, int count, uint8_t *correct,
                            tx_error *error) {
  ridge r = {.kernels = tx_kernels_get(), .rows = rows, .features = features, .width = width,
             .panels = (rows->classes + BLOCK - 1) / BLOCK, .penalties = penalties, .count = count,
             .correct = correct};
  for (int f = 0; f < rows->folds; f++) {
    r.most_rows = most(r.most_rows, rows->fold_starts[f + 1] - rows->fold_starts[f]);
  }
  int64_t blocks = (width + BLOCK - 1) / BLOCK, sets = rows->folds + 1;
  r.scratch_floats = width * width + blocks * BLOCK * BLOCK + (r.panels + 1) * width * BLOCK +
                     most(width, r.most_rows) * BLOCK + (r.most_rows + 1) * r.panels * BLOCK;
  r.grams = tx_alloc_array((size_t)(sets * width * width), sizeof *r.grams);
  r.sums = tx_alloc_zero((size_t)(sets * rows->classes * width), sizeof *r.sums);
  r.labels = tx_alloc_zero((size_t)(sets * rows->classes), sizeof *r.labels);
  r.scratch = tx_alloc_array((size_t)(tx_threads() * r.scratch_floats), sizeof *r.scratch);
  tx_status status = TX_OK;
  if (!r.grams || !r.sums || !r.labels || !r.scratch) {
    status = tx_fail_memory(error, (uint64_t)(sets * width * width) * 4, "cross-validation");
  }
  if (status == TX_OK) status = make_grams(&r, error);
  if (status == TX_OK) {
    memset(correct, 0, (size_t)(count * rows->rows));
    add_up_labels(&r);
    tx_parallel((int64_t)rows->folds * count, fit_task, &r);
  }
  tx_free(r.grams), tx_free(r.sums), tx_free(r.labels), tx_free(r.scratch);
  return status;
}
