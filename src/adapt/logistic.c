/* Fitting by L-BFGS, and the choice of the penalty by cross-validation.  The
 * objective itself is in logistic_problem.c, the folds in folds.c. */
#include "adapt/logistic.h"

#include <lbfgs.h>
#include <math.h>
#include <stdatomic.h>
#include <string.h>

#include "adapt/logistic_problem.h"
#include "base/parallel.h"

enum {
  HISTORY = 8,       /* corrections that L-BFGS keeps */
  WIDE_HISTORY = 4,  /* the same where they, not the objective, take the time */
  WIDE = 1 << 15,    /* variables of sparse features from which that is so */
  PERIOD = 10,       /* iterations over which the decrease is judged */
  ATTEMPTS = 3,      /* starts of L-BFGS after a failed line search */
  STOPPED = 1000,    /* our status for liblbfgs, beyond its own */
  WORSE_IN_A_ROW = 2 /* candidates after which no weaker penalty is tried */
};

tx_logistic_options tx_logistic_defaults(void) {
  return (tx_logistic_options){.penalty = 1e-3, .max_iterations = 300, .tolerance = 1e-6};
}

/* ---- minimising -------------------------------------------------------- */

/* Shared by fits that run side by side. */
typedef struct interruption {
  const tx_watch *watch;
  atomic_bool stop;
} interruption;

static void ask(interruption *shared) {
  const tx_watch *watch = shared->watch;
  if (watch && watch->cancelled && watch->cancelled(watch->context)) {
    atomic_store(&shared->stop, true);
  }
}

typedef struct descent {
  tx_logistic_problem *problem;
  double penalty;
  interruption *interruption;
  bool may_ask; /* whether this thread is the one that may call the watch */
  bool broken;  /* the objective was not finite */
} descent;

static lbfgsfloatval_t evaluate(void *instance, const lbfgsfloatval_t *x, lbfgsfloatval_t *gradient,
                                const int count, const lbfgsfloatval_t step) {
  (void)count;
  (void)step;
  descent *d = instance;
  double objective = tx_logistic_objective(d->problem, x, d->penalty, gradient);
  if (!isfinite(objective)) d->broken = true;
  return objective;
}

static int progress(void *instance, const lbfgsfloatval_t *x, const lbfgsfloatval_t *gradient,
                    const lbfgsfloatval_t objective, const lbfgsfloatval_t x_norm,
                    const lbfgsfloatval_t gradient_norm, const lbfgsfloatval_t step, int count,
                    int iteration, int evaluations) {
  (void)x, (void)gradient, (void)objective, (void)x_norm, (void)gradient_norm;
  (void)step, (void)count, (void)iteration, (void)evaluations;
  descent *d = instance;
  if (d->may_ask) ask(d->interruption);
  return atomic_load(&d->interruption->stop) ? STOPPED : 0;
}

/* Names the first value that is no number, which is nearly always the reason. */
static tx_status fail_broken(const tx_logistic_problem *problem, tx_error *error) {
  const tx_features *x = problem->features;
  for (int64_t i = 0; i < problem->rows; i++) {
    int64_t row = problem->use ? problem->use[i] : i;
    int64_t count = x->dense ? x->features : x->starts[row + 1] - x->starts[row];
    const float *values = x->dense ? x->dense + row * x->features : x->values + x->starts[row];
    for (int64_t j = 0; j < count; j++) {
      if (isfinite(values[j])) continue;
      int64_t feature = x->dense ? j : x->columns[x->starts[row] + j];
      return tx_fail(error, TX_ERROR_INPUT,
                     "feature %lld of row %lld is %g; find out which text or weight it comes from",
                     (long long)feature, (long long)row, (double)values[j]);
    }
  }
  return tx_fail(error, TX_ERROR_INPUT,
                 "the loss of the linear model is not finite; standardise the features or start "
                 "from zero weights");
}

/* At rounding's end no step improves the objective, which is where a failed
 * line search is no failure. */
static bool is_optimum(descent *d, const double *x, double *gradient) {
  tx_logistic_objective(d->problem, x, d->penalty, gradient);
  double slope = 0, size = 0;
  for (int64_t i = 0; i < d->problem->variables; i++) {
    slope += gradient[i] * gradient[i];
    size += x[i] * x[i];
  }
  return sqrt(slope) <= 1e-5 * fmax(1, sqrt(size));
}

static tx_status descend(descent *d, tx_logistic_options options, double *x, tx_error *error) {
  lbfgs_parameter_t parameters;
  lbfgs_parameter_init(&parameters);
  bool wide = !d->problem->features->dense && d->problem->variables >= WIDE;
  parameters.m = wide ? WIDE_HISTORY : HISTORY;
  parameters.epsilon = 1e-9;
  parameters.past = PERIOD;
  parameters.delta = options.tolerance;
  parameters.max_iterations = options.max_iterations;
  int count = (int)d->problem->variables;
  int status = 0;
  for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
    status = lbfgs(count, x, NULL, evaluate, progress, d, &parameters);
    if (status == STOPPED) {
      return tx_fail(error, TX_ERROR_INTERRUPTED, "interrupted while fitting the linear model");
    }
    if (d->broken) return fail_broken(d->problem, error);
    if (status >= 0 || status == LBFGSERR_MAXIMUMITERATION) return TX_OK;
    uint64_t bytes = (uint64_t)count * sizeof *x;
    if (status == LBFGSERR_OUTOFMEMORY) {
      return tx_fail_memory(error, bytes * (2 * HISTORY + 4), "L-BFGS");
    }
    double *gradient = tx_alloc(bytes);
    if (!gradient) return tx_fail_memory(error, bytes, "L-BFGS");
    bool optimum = is_optimum(d, x, gradient);
    tx_free(gradient);
    if (optimum) return TX_OK;
  }
  return tx_fail(error, TX_ERROR_INPUT,
                 "the linear model does not converge (liblbfgs status %d); standardise the "
                 "features or take a stronger penalty than %g",
                 status, options.penalty);
}

static tx_status check_options(tx_logistic_options options, tx_error *error) {
  if (options.penalty > 0 && isfinite(options.penalty) && options.max_iterations > 0 &&
      options.tolerance >= 0) {
    return TX_OK;
  }
  return tx_fail(error, TX_ERROR_ARGUMENT,
                 "penalty %g, %d iterations or tolerance %g is out of range: the penalty must be "
                 "above 0, the iterations from 1, the tolerance 0 or more",
                 options.penalty, options.max_iterations, options.tolerance);
}

tx_status tx_logistic_fit(const tx_features *features, const int32_t *labels, int classes,
                          const int64_t *use, int64_t use_count, tx_logistic_options options,
                          double *weights, double *bias, const tx_watch *watch, tx_error *error) {
  TX_TRY(check_options(options, error));
  tx_logistic_problem problem;
  TX_TRY(tx_logistic_problem_make(&problem, features, labels, options.marks, classes,
                                  options.class_weights, use, use_count, true, error));
  tx_status status;
  double *x = tx_alloc_array((size_t)problem.variables, sizeof *x);
  if (x) {
    interruption shared = {watch, false};
    descent d = {&problem, options.penalty, &shared, true, false};
    tx_logistic_pack(&problem, weights, bias, x);
    status = descend(&d, options, x, error);
    if (status == TX_OK) tx_logistic_unpack(&problem, x, weights, bias);
  } else {
    status = tx_fail_memory(error, (uint64_t)problem.variables * sizeof *x, "logistic regression");
  }
  tx_free(x);
  tx_logistic_problem_free(&problem);
  return status;
}

/* ---- scores ------------------------------------------------------------ */

typedef struct scoring {
  const tx_doubles *arithmetic;
  const tx_features *features;
  const int64_t *use;
  int64_t rows;
  int classes;
  const double *weights, *bias;
  double *scores;
} scoring;

enum { SCORE_ROWS = 64 };

static void scores_task(void *context, int64_t block, int worker) {
  (void)worker;
  const scoring *s = context;
  const tx_features *x = s->features;
  int64_t end = (block + 1) * SCORE_ROWS < s->rows ? (block + 1) * SCORE_ROWS : s->rows;
  for (int64_t i = block * SCORE_ROWS; i < end; i++) {
    int64_t row = s->use ? s->use[i] : i;
    double *scores = s->scores + i * s->classes;
    if (x->dense) {
      const float *values = x->dense + row * x->features;
      s->arithmetic->scores(&values, 1, x->features, s->weights, s->classes, scores);
    }
    for (int c = 0; c < s->classes; c++) {
      if (!x->dense) {
        int64_t start = x->starts[row];
        s->arithmetic->gather(x->columns + start, x->values + start, x->starts[row + 1] - start,
                              s->weights + c * x->features, 1, scores + c);
      }
      scores[c] += s->bias[c];
    }
  }
}

void tx_logistic_scores(const tx_features *features, int classes, const int64_t *use,
                        int64_t use_count, const double *weights, const double *bias,
                        double *scores) {
  scoring s = {tx_doubles_get(), features, use,  use ? use_count : features->rows,
               classes,          weights,  bias, scores};
  tx_parallel((s.rows + SCORE_ROWS - 1) / SCORE_ROWS, scores_task, &s);
}

/* ---- the penalty ------------------------------------------------------- */

/* One fold: fitted on the others' rows, judged on its own. */
typedef struct fold_fit {
  tx_logistic_problem train, held_out;
  double *variables; /* the last candidate's, where the next one starts */
  double loss;       /* mean over the held-out rows */
  bool empty;        /* nothing to fit or nothing held out */
  tx_status status;
  tx_error error;
} fold_fit;

typedef struct selection {
  fold_fit *fits; /* (folds) */
  int folds;
  int64_t *order; /* (folds, rows): a fold's training rows, then its held-out rows */
  tx_logistic_options options;
  interruption shared;
  tx_arena *arena;
} selection;

static void fold_task(void *context, int64_t index, int worker) {
  selection *s = context;
  fold_fit *fit = &s->fits[index];
  if (fit->empty || atomic_load(&s->shared.stop)) return;
  descent d = {&fit->train, s->options.penalty, &s->shared, worker == 0, false};
  fit->status = descend(&d, s->options, fit->variables, &fit->error);
  if (fit->status == TX_OK) {
    fit->loss = tx_logistic_objective(&fit->held_out, fit->variables, 0, NULL);
  }
}

static tx_status make_fold(selection *s, int index, const tx_features *features,
                           const int32_t *labels, int classes, const int32_t *fold,
                           tx_error *error) {
  fold_fit *fit = &s->fits[index];
  int64_t *order = s->order + index * features->rows;
  int64_t train = 0, held_out = 0;
  for (int64_t i = 0; i < features->rows; i++) train += fold[i] != index;
  for (int64_t i = 0, t = 0; i < features->rows; i++) {
    if (fold[i] != index) {
      order[t++] = i;
    } else {
      order[train + held_out++] = i;
    }
  }
  fit->empty = train == 0 || held_out == 0;
  if (fit->empty) return TX_OK;
  const double *class_weights = s->options.class_weights;
  const uint8_t *marks = s->options.marks;
  TX_TRY(tx_logistic_problem_make(&fit->train, features, labels, marks, classes, class_weights,
                                  order, train, true, error));
  TX_TRY(tx_logistic_problem_make(&fit->held_out, features, labels, marks, classes, class_weights,
                                  order + train, held_out, false, error));
  size_t count = (size_t)fit->train.variables;
  fit->variables = tx_arena_array(s->arena, count, sizeof(double));
  if (!fit->variables) return tx_fail_memory(error, count * sizeof(double), "cross-validation");
  memset(fit->variables, 0, count * sizeof(double));
  return TX_OK;
}

static tx_status make_selection(selection *s, const tx_features *features, const int32_t *labels,
                                int classes, const uint64_t *group, uint64_t seed,
                                tx_error *error) {
  size_t rows = (size_t)features->rows, folds = (size_t)s->folds;
  s->arena = tx_arena_new();
  if (!s->arena) return tx_fail_memory(error, 1, "cross-validation");
  s->fits = tx_arena_array(s->arena, folds, sizeof *s->fits);
  if (!s->fits) return tx_fail_memory(error, folds * sizeof *s->fits, "cross-validation");
  memset(s->fits, 0, folds * sizeof *s->fits);
  s->order = tx_arena_array(s->arena, folds * rows, sizeof *s->order);
  int32_t *fold = tx_arena_array(s->arena, rows, sizeof *fold);
  if (!s->order || !fold) {
    return tx_fail_memory(error, folds * rows * sizeof *s->order, "cross-validation");
  }
  int strata = classes + (s->options.marks ? 1 : 0);
  TX_TRY(tx_stratified_folds(labels, strata, group, features->rows, s->folds, seed, fold, error));
  for (int i = 0; i < s->folds; i++) {
    TX_TRY(make_fold(s, i, features, labels, classes, fold, error));
  }
  return TX_OK;
}

static void free_selection(selection *s) {
  for (int i = 0; s->fits && i < s->folds; i++) {
    tx_logistic_problem_free(&s->fits[i].train);
    tx_logistic_problem_free(&s->fits[i].held_out);
  }
  tx_arena_free(s->arena);
}

/* All folds at one penalty.  Small problems run side by side, large ones one
 * after another with the threads inside, for their memory's sake; either way
 * the same bits. */
static tx_status run_folds(selection *s, double *nll, tx_error *error) {
  int64_t variables = 0;
  for (int i = 0; i < s->folds; i++) {
    if (!s->fits[i].empty) variables = s->fits[i].train.variables;
  }
  if (variables <= 1 << 19) {
    tx_parallel(s->folds, fold_task, s);
  } else {
    for (int i = 0; i < s->folds; i++) fold_task(s, i, 0);
  }
  ask(&s->shared); /* other threads may have fitted every fold */
  double sum = 0;
  int64_t rows = 0;
  for (int i = 0; i < s->folds; i++) {
    const fold_fit *fit = &s->fits[i];
    if (fit->empty) continue;
    if (fit->status != TX_OK) return tx_fail_with(error, &fit->error);
    sum += fit->loss * (double)fit->held_out.rows;
    rows += fit->held_out.rows;
  }
  if (atomic_load(&s->shared.stop)) {
    return tx_fail(error, TX_ERROR_INTERRUPTED, "interrupted while choosing the penalty");
  }
  *nll = rows ? sum / (double)rows : 0;
  return TX_OK;
}

static tx_status try_candidates(selection *s, const double *candidates, size_t count,
                                double *penalty, double *nll, tx_error *error) {
  double best = INFINITY;
  int worse = 0;
  for (size_t i = 0; i < count; i++) {
    double mean = INFINITY;
    if (worse < WORSE_IN_A_ROW) {
      s->options.penalty = candidates[i];
      TX_TRY(check_options(s->options, error));
      TX_TRY(run_folds(s, &mean, error));
      worse = mean < best ? 0 : worse + 1;
      if (mean < best) {
        best = mean;
        *penalty = candidates[i];
      }
    }
    if (nll) nll[i] = mean;
    const tx_watch *watch = s->shared.watch;
    if (watch && watch->report) {
      watch->report(watch->context, "penalty", (int64_t)i + 1, (int64_t)count, "candidates");
    }
  }
  return TX_OK;
}

tx_status tx_logistic_choose(const tx_features *features, const int32_t *labels, int classes,
                             const uint64_t *group, const double *candidates, size_t count,
                             int folds, uint64_t seed, tx_logistic_options options, double *penalty,
                             double *nll, const tx_watch *watch, tx_error *error) {
  if (count == 0 || folds < 2) {
    return tx_fail(error, TX_ERROR_ARGUMENT,
                   "%d folds and %zu candidates: cross-validation needs two folds and a candidate",
                   folds, count);
  }
  /* Ranking needs less than the answer does. */
  options.tolerance = fmax(options.tolerance, 1e-4);
  selection s = {.folds = folds, .options = options, .shared = {watch, false}};
  *penalty = candidates[0];
  tx_status status = make_selection(&s, features, labels, classes, group, seed, error);
  if (status == TX_OK) status = try_candidates(&s, candidates, count, penalty, nll, error);
  free_selection(&s);
  return status;
}
