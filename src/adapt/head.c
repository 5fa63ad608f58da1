/* Standardising, choosing the penalty, solving, folding back. */
#include "adapt/head.h"

#include <inttypes.h>
#include <math.h>

#include "adapt/logistic.h"
#include "adapt/standard.h"
#include "base/memory.h"
#include "base/watch.h"

/* Strongest first; the right one differs by a factor of a hundred between tasks. */
static const double candidates[] = {3, 1, 0.3, 0.1, 0.03, 0.01, 3e-3, 1e-3, 3e-4, 1e-4};
enum { CANDIDATES = sizeof candidates / sizeof *candidates };

typedef struct {
  float *features;        /* (rows, width), standardised */
  double *mean, *inverse; /* (width); inverse 0 for a feature that does not vary */
  double *weight, *bias;
  double loss; /* held out, at the penalty that was chosen */
} work;

/* Before a mean spreads it over its column, where it could not be found again. */
static tx_status check_finite(const float *features, int64_t rows, int64_t width, tx_error *error) {
  for (int64_t i = 0; i < rows * width; i++) {
    if (features[i] - features[i] == 0) continue;
    const char *what = isnan(features[i]) ? "nan" : features[i] > 0 ? "inf" : "-inf";
    return tx_fail(error, TX_ERROR_INPUT,
                   "feature %" PRId64 " of row %" PRId64
                   " is %s; find out which text or weight it comes from",
                   i % width, i / width, what);
  }
  return TX_OK;
}

static void fold(const work *w, int64_t width, int classes, float *weight, float *bias) {
  for (int k = 0; k < classes; k++) {
    double shift = 0;
    for (int64_t c = 0; c < width; c++) {
      double value = w->weight[k * width + c] * w->inverse[c];
      shift += value * w->mean[c];
      weight[k * width + c] = (float)value;
    }
    bias[k] = (float)(w->bias[k] - shift);
  }
}

static tx_status solve(work *w, const int32_t *labels, const uint64_t *groups, int64_t rows,
                       int64_t width, int classes, tx_head_options options, double *penalty,
                       const tx_watch *watch, tx_error *error) {
  tx_features features = {.rows = rows, .features = width, .dense = w->features};
  tx_logistic_options logistic = tx_logistic_defaults();
  logistic.class_weights = options.class_weights;
  logistic.marks = options.marks;
  *penalty = options.penalty;
  if (*penalty <= 0) {
    double nll[CANDIDATES];
    TX_TRY(tx_logistic_choose(&features, labels, classes, groups, candidates, CANDIDATES,
                              options.folds, options.seed, logistic, penalty, nll, watch, error));
    w->loss = nll[0];
    for (int i = 1; i < CANDIDATES; i++) w->loss = nll[i] < w->loss ? nll[i] : w->loss;
  }
  logistic.penalty = *penalty;
  return tx_logistic_fit(&features, labels, classes, NULL, rows, logistic, w->weight, w->bias,
                         watch, error);
}

static tx_status fit(const float *features, const int32_t *labels, const uint64_t *groups,
                     int64_t rows, int64_t width, int classes, tx_head_options options,
                     float *weight, float *bias, double *penalty, double *loss,
                     const tx_watch *watch, tx_error *error) {
  work w = {.features = tx_alloc_array((size_t)(rows * width), sizeof(float)),
            .mean = tx_alloc_zero((size_t)width, sizeof(double)),
            .inverse = tx_alloc_zero((size_t)width, sizeof(double)),
            .weight = tx_alloc_zero((size_t)(classes * width), sizeof(double)),
            .bias = tx_alloc_zero((size_t)classes, sizeof(double))};
  tx_status status;
  if (w.features && w.mean && w.inverse && w.weight && w.bias) {
    tx_standard_fit(features, width, rows, width, w.mean, w.inverse);
    tx_standard_apply(features, width, rows, width, w.mean, w.inverse, w.features);
    status = solve(&w, labels, groups, rows, width, classes, options, penalty, watch, error);
    if (status == TX_OK) fold(&w, width, classes, weight, bias);
    *loss = w.loss;
  } else {
    status = tx_fail_memory(error, (uint64_t)(rows * width) * sizeof(float), "the head");
  }
  tx_free(w.features), tx_free(w.mean), tx_free(w.inverse), tx_free(w.weight), tx_free(w.bias);
  return status;
}

static tx_cache_key key_of(const float *features, const int32_t *labels, const uint64_t *groups,
                           int64_t rows, int64_t width, int classes, tx_head_options options) {
  const int64_t shape[] = {rows, width, classes, options.folds, (int64_t)options.seed};
  tx_cache_key key = tx_memo_key("head 1");
  tx_memo_add(&key, shape, sizeof shape);
  tx_memo_add(&key, &options.penalty, sizeof options.penalty);
  tx_memo_add(&key, options.class_weights,
              options.class_weights ? (uint64_t)classes * sizeof(double) : 0);
  tx_memo_add(&key, labels, (uint64_t)rows * sizeof *labels);
  if (options.marks) tx_memo_add(&key, options.marks, (uint64_t)(rows * classes));
  tx_memo_add(&key, groups, groups ? (uint64_t)rows * sizeof *groups : 0);
  tx_memo_add(&key, features, (uint64_t)(rows * width) * sizeof *features);
  return key;
}

tx_status tx_head_fit(const float *features, const int32_t *labels, const uint64_t *groups,
                      int64_t rows, int64_t width, int classes, tx_head_options options,
                      float *weight, float *bias, double *penalty, const tx_watch *watch,
                      tx_error *error) {
  TX_TRY(check_finite(features, rows, width, error));
  double loss = 0;
  const tx_memo_part result[] = {{weight, (uint64_t)(classes * width) * sizeof *weight},
                                 {bias, (uint64_t)classes * sizeof *bias},
                                 {penalty, sizeof *penalty},
                                 {&loss, sizeof loss}};
  enum { PARTS = sizeof result / sizeof *result };
  tx_cache_key key = {0, 0};
  if (options.memo) key = key_of(features, labels, groups, rows, width, classes, options);
  if (!tx_memo_recall(options.memo, key, result, PARTS)) {
    TX_TRY(fit(features, labels, groups, rows, width, classes, options, weight, bias, penalty,
               &loss, watch, error));
    tx_memo_keep(options.memo, key, result, PARTS);
  }
  if (options.penalty > 0) return TX_OK;
  tx_watch_note(watch, "head: penalty %g by %d-fold cross-validation, held-out loss %.4f", *penalty,
                options.folds, options.marks ? loss / classes : loss);
  return TX_OK;
}
