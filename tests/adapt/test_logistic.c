/* Logistic regression against scikit-learn's optimum, dense against sparse,
 * the same bits on any number of threads and any path, folds, failures. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "adapt/logistic.h"
#include "adapt/logistic_problem.h"
#include "base/memory.h"
#include "golden/logistic.h"

/* ---- problems ---------------------------------------------------------- */

static uint64_t lcg_state;

static double lcg_next(void) {
  lcg_state = lcg_state * 6364136223846793005u + 1442695040888963407u;
  return (double)(lcg_state >> 40) / 16777216.0;
}

typedef struct problem {
  tx_features dense, sparse;
  int32_t *labels;
  int classes;
  double *weights, *bias;
} problem;

/* As problem() of make_logistic.py. */
static problem make_problem(int rows, int features, int classes, uint64_t seed) {
  size_t size = (size_t)rows * (size_t)features, used = 0;
  float *x = tx_alloc_array(size, sizeof *x);
  float *values = tx_alloc_array(size, sizeof *values);
  int32_t *columns = tx_alloc_array(size, sizeof *columns);
  int64_t *starts = tx_alloc_array((size_t)rows + 1, sizeof *starts);
  problem p = {.classes = classes, .labels = tx_alloc_array((size_t)rows, sizeof(int32_t))};
  lcg_state = seed;
  for (int i = 0; i < rows; i++) {
    p.labels[i] = i < classes ? i : (int32_t)(lcg_next() * classes * 0.999999);
    starts[i] = (int64_t)used;
    for (int j = 0; j < features; j++) {
      double u = lcg_next() - 0.5;
      float value = j % classes == p.labels[i] ? (float)(u + 0.4) : (float)u;
      if (j % 3 == 2 && u < 0.2) value = 0;
      x[i * features + j] = value;
      if (value < 0 || value > 0) {
        values[used] = value;
        columns[used++] = j;
      }
    }
  }
  starts[rows] = (int64_t)used;
  p.dense = (tx_features){.rows = rows, .features = features, .dense = x};
  p.sparse = (tx_features){rows, features, NULL, starts, columns, values};
  p.weights = tx_alloc_zero((size_t)classes * (size_t)features, sizeof(double));
  p.bias = tx_alloc_zero((size_t)classes, sizeof(double));
  return p;
}

static void clear_weights(problem *p) {
  memset(p->weights, 0, (size_t)p->classes * (size_t)p->dense.features * sizeof(double));
  memset(p->bias, 0, (size_t)p->classes * sizeof(double));
}

static void free_problem(problem *p) {
  tx_free((void *)p->dense.dense);
  tx_free((void *)p->sparse.values);
  tx_free((void *)p->sparse.columns);
  tx_free((void *)p->sparse.starts);
  tx_free(p->labels);
  tx_free(p->weights);
  tx_free(p->bias);
}

/* The objective as its definition says, by the C library. */
static double plain_objective(const problem *p, const double *class_weights, double penalty) {
  int64_t rows = p->dense.rows, features = p->dense.features;
  double total = 0, squares = 0;
  for (int64_t i = 0; i < rows; i++) {
    double sum = 0, score[128];
    for (int c = 0; c < p->classes; c++) {
      score[c] = p->bias[c];
      for (int64_t f = 0; f < features; f++) {
        score[c] += p->weights[c * features + f] * (double)p->dense.dense[i * features + f];
      }
      sum += exp(score[c]);
    }
    double weight = class_weights ? class_weights[p->labels[i]] : 1;
    total += weight * (log(sum) - score[p->labels[i]]);
  }
  for (int64_t i = 0; i < p->classes * features; i++) squares += p->weights[i] * p->weights[i];
  return total / (double)rows + penalty / 2 * squares;
}

static void succeeds(tx_status status, const tx_error *error) {
  char sentence[1024];
  if (status != TX_OK) fail_msg("%s", tx_error_sentence(error, sentence, sizeof sentence));
}

/* ---- the optimum ------------------------------------------------------- */

static void test_optimum(void **state) {
  (void)state;
  for (size_t g = 0; g < sizeof golden_logistic / sizeof golden_logistic[0]; g++) {
    int rows = golden_logistic[g].rows, features = golden_logistic[g].features;
    problem p = make_problem(rows, features, golden_logistic[g].classes, (uint64_t)rows);
    double class_weights[128];
    for (int c = 0; c < p.classes; c++) class_weights[c] = 0.5 + c % 3;
    tx_logistic_options options = tx_logistic_defaults();
    options.penalty = golden_logistic[g].penalty;
    options.class_weights = golden_logistic[g].weighted ? class_weights : NULL;
    for (int sparse = 0; sparse < 2; sparse++) {
      for (int exact = 0; exact < 2; exact++) {
        options.tolerance = exact ? 1e-12 : 1e-6;
        options.max_iterations = exact ? 5000 : 300;
        clear_weights(&p);
        tx_error error = {0};
        succeeds(tx_logistic_fit(sparse ? &p.sparse : &p.dense, p.labels, p.classes, NULL, 0,
                                 options, p.weights, p.bias, NULL, &error),
                 &error);
        double got = plain_objective(&p, options.class_weights, options.penalty), squares = 0;
        double want = golden_logistic[g].objective;
        if (!(fabs(got - want) <= (exact ? 1e-9 : 1e-6) * want)) {
          fail_msg("case %zu sparse %d: objective %.12g, want %.12g", g, sparse, got, want);
        }
        for (int64_t i = 0; i < p.classes * p.dense.features; i++) {
          squares += p.weights[i] * p.weights[i];
        }
        double norm = golden_logistic[g].norm;
        if (exact && !(fabs(sqrt(squares) - norm) <= 1e-4 * norm)) {
          fail_msg("case %zu: norm %.9g, want %.9g", g, sqrt(squares), norm);
        }
      }
    }
    free_problem(&p);
  }
}

/* Any number of labels a row. */
static void make_marks(const problem *p, uint8_t *marks) {
  for (int64_t i = 0; i < p->dense.rows * p->classes; i++) marks[i] = lcg_next() < 0.4;
}

/* The gradient by finite differences, for each shape of variables. */
static void test_gradient(void **state) {
  (void)state;
  for (int k = 0; k < 12; k++) {
    problem p = make_problem(71, 11, (const int[]){2, 3, 6}[k / 2 % 3], 5);
    uint8_t marks[71 * 6];
    make_marks(&p, marks);
    tx_logistic_problem made;
    int64_t use[50];
    for (int i = 0; i < 50; i++) use[i] = 70 - i;
    assert_int_equal(tx_logistic_problem_make(&made, k % 2 ? &p.sparse : &p.dense, p.labels,
                                              k < 6 ? NULL : marks, p.classes, NULL, use, 50, true,
                                              NULL),
                     TX_OK);
    double x[128] = {0}, gradient[128], other[128];
    int64_t real = (p.dense.features + 1) * made.columns;
    for (int64_t v = 0; v < real; v++) x[v] = lcg_next() - 0.5;
    tx_logistic_objective(&made, x, 0.01, gradient);
    for (int64_t v = 0; v < made.variables; v++) {
      if (v >= real || (made.columns > p.classes && v % made.columns >= p.classes)) {
        x[v] = 0;
        if (v >= real) assert_true(gradient[v] == 0);
        continue;
      }
      const double step = 1e-5, kept = x[v];
      x[v] = kept + step;
      double above = tx_logistic_objective(&made, x, 0.01, NULL);
      x[v] = kept - step;
      double below = tx_logistic_objective(&made, x, 0.01, other);
      x[v] = kept;
      double slope = (above - below) / (2 * step);
      if (!(fabs(slope - gradient[v]) < 1e-8)) {
        fail_msg("k %d variable %d: %.12g, want %.12g", k, (int)v, gradient[v], slope);
      }
    }
    tx_logistic_problem_free(&made);
    free_problem(&p);
  }
}

/* With marks each label's weights are those of its own two classes: the penalty on them is
 * half of the one on the difference that two classes have. */
static void test_marks_label_by_label(void **state) {
  (void)state;
  enum { N = 120, F = 9, LABELS = 5 };
  for (int sparse = 0; sparse < 2; sparse++) {
    problem p = make_problem(N, F, LABELS, 8);
    uint8_t marks[N * LABELS];
    int32_t holds[N];
    make_marks(&p, marks);
    tx_error error = {0};
    tx_logistic_options options = {.penalty = 0.02, .max_iterations = 5000, .tolerance = 1e-13};
    const tx_features *x = sparse ? &p.sparse : &p.dense;
    options.marks = marks;
    succeeds(tx_logistic_fit(x, NULL, LABELS, NULL, 0, options, p.weights, p.bias, NULL, &error),
             &error);
    options.marks = NULL;
    options.penalty *= 2;
    for (int c = 0; c < LABELS; c++) {
      double weights[2 * F] = {0}, bias[2] = {0};
      for (int i = 0; i < N; i++) holds[i] = marks[i * LABELS + c];
      succeeds(tx_logistic_fit(x, holds, 2, NULL, 0, options, weights, bias, NULL, &error), &error);
      for (int f = 0; f < F; f++) {
        double want = weights[F + f] - weights[f], got = p.weights[c * F + f];
        if (!(fabs(got - want) < 1e-4)) fail_msg("label %d: %g, not %g", c, got, want);
      }
      assert_true(fabs(p.bias[c] - (bias[1] - bias[0])) < 1e-4);
    }
    free_problem(&p);
  }
}

static void test_scores(void **state) {
  (void)state;
  problem p = make_problem(300, 21, 5, 3);
  for (int i = 0; i < 5 * 21; i++) p.weights[i] = lcg_next();
  for (int c = 0; c < 5; c++) p.bias[c] = lcg_next();
  const int64_t use[] = {299, 0, 7};
  double dense[3][5], sparse[3][5], all[300][5];
  tx_logistic_scores(&p.dense, 5, use, 3, p.weights, p.bias, dense[0]);
  tx_logistic_scores(&p.sparse, 5, use, 3, p.weights, p.bias, sparse[0]);
  tx_logistic_scores(&p.dense, 5, NULL, 0, p.weights, p.bias, all[0]);
  for (int i = 0; i < 3; i++) {
    for (int c = 0; c < 5; c++) {
      double want = p.bias[c];
      for (int f = 0; f < 21; f++) {
        want += p.weights[c * 21 + f] * (double)p.dense.dense[use[i] * 21 + f];
      }
      assert_true(fabs(dense[i][c] - want) < 1e-12 && fabs(sparse[i][c] - want) < 1e-12);
      assert_true(dense[i][c] == all[use[i]][c]);
    }
  }
  free_problem(&p);
}

/* ---- the same bits ----------------------------------------------------- */

static void fit_all(problem *p, bool sparse, double *penalty, double *nll) {
  const double candidates[] = {1, 0.1, 0.01, 0.001};
  tx_logistic_options options = tx_logistic_defaults();
  tx_error error = {0};
  const tx_features *features = sparse ? &p->sparse : &p->dense;
  succeeds(tx_logistic_choose(features, p->labels, p->classes, NULL, candidates, 4, 3, 1, options,
                              penalty, nll, NULL, &error),
           &error);
  options.penalty = *penalty;
  clear_weights(p);
  succeeds(tx_logistic_fit(features, p->labels, p->classes, NULL, 0, options, p->weights, p->bias,
                           NULL, &error),
           &error);
}

static void test_same_bits(void **state) {
  (void)state;
  static const char *paths[] = {"generic", "avx2", "avx512"};
  for (int k = 0; k < 6; k++) {
    problem p = make_problem(1500, 37, (const int[]){2, 3, 9}[k / 2], 11);
    size_t size = (size_t)p.classes * 37;
    double penalty[2], nll[2][4], *kept = tx_alloc_array(size, sizeof *kept), bias[9];
    for (int run = 0; run < 5; run++) { /* 1, 2 and 4 threads, then the other paths */
      if (!tx_doubles_find(paths[run % 3])) continue;
      setenv("TAXON_CPU", paths[run % 3], 1);
      tx_set_threads((const int[]){1, 2, 4, 4, 1}[run]);
      fit_all(&p, k % 2, &penalty[run > 0], nll[run > 0]);
      if (run == 0) {
        memcpy(kept, p.weights, size * sizeof *kept);
        memcpy(bias, p.bias, (size_t)p.classes * sizeof *bias);
        continue;
      }
      assert_memory_equal(kept, p.weights, size * sizeof *kept);
      assert_memory_equal(bias, p.bias, (size_t)p.classes * sizeof *bias);
      assert_memory_equal(nll[0], nll[1], sizeof nll[0]);
      assert_true(penalty[0] == penalty[1]);
    }
    tx_free(kept);
    free_problem(&p);
  }
  unsetenv("TAXON_CPU");
  tx_set_threads(0);
}

/* exp and log of every path: right, and the same. */
static void test_elementary(void **state) {
  (void)state;
  enum { COUNT = 4003 };
  static double x[COUNT], first[2][COUNT], got[2][COUNT];
  for (int i = 0; i < COUNT; i++) x[i] = i % 7 == 0 ? -800.0 * lcg_next() : 40 * lcg_next() - 20;
  for (int path = 0; path < 3; path++) {
    const tx_doubles *doubles =
        tx_doubles_find((const char *[]){"generic", "avx2", "avx512"}[path]);
    if (!doubles) continue;
    for (int i = 0; i < COUNT; i++) {
      got[0][i] = x[i];
      got[1][i] = 1 + fabs(x[i] * x[i]) * (i % 5 == 0 ? 1e-6 : 1);
      if (i % 11 == 0) got[1][i] = 1;
    }
    doubles->exp(got[0], COUNT);
    for (int i = 0; i < COUNT; i++) {
      double want = exp(fmax(x[i], -700));
      assert_true(fabs(got[0][i] - want) <= 4e-16 * want);
    }
    double before[COUNT];
    memcpy(before, got[1], sizeof before);
    doubles->log(got[1], COUNT);
    for (int i = 0; i < COUNT; i++) {
      assert_true(fabs(got[1][i] - log(before[i])) <= 4e-16 * fmax(fabs(log(before[i])), 0.1));
    }
    if (path == 0) memcpy(first, got, sizeof first);
    assert_memory_equal(first, got, sizeof first);
  }
}

/* ---- folds and the penalty --------------------------------------------- */

static void test_folds(void **state) {
  (void)state;
  enum { ROWS = 103, FOLDS = 5 };
  int32_t labels[ROWS], fold[ROWS], again[ROWS];
  uint64_t group[ROWS];
  for (int i = 0; i < ROWS; i++) {
    labels[i] = i < 2 ? 2 : i % 3 == 0;
    group[i] = i >= 10 && i < 14 ? 77 : (uint64_t)(i * i + 1000);
  }
  assert_int_equal(tx_stratified_folds(labels, 4, NULL, ROWS, FOLDS, 3, fold, NULL), TX_OK);
  int counts[4][FOLDS] = {{0}}, sizes[FOLDS] = {0};
  for (int i = 0; i < ROWS; i++) {
    assert_in_range(fold[i], 0, FOLDS - 1);
    counts[labels[i]][fold[i]]++;
    sizes[fold[i]]++;
  }
  for (int f = 0; f < FOLDS; f++) {
    assert_in_range(counts[0][f], 13, 14); /* 67 rows */
    assert_in_range(counts[1][f], 6, 7);   /* 34 rows */
    assert_in_range(counts[2][f], 0, 1);   /* fewer rows than folds */
    assert_in_range(sizes[f], 20, 21);
  }
  assert_int_equal(tx_stratified_folds(labels, 4, NULL, ROWS, FOLDS, 4, again, NULL), TX_OK);
  assert_memory_not_equal(fold, again, sizeof fold);
  assert_int_equal(tx_stratified_folds(labels, 4, group, ROWS, FOLDS, 3, again, NULL), TX_OK);
  for (int i = 11; i < 14; i++) assert_int_equal(again[i], again[10]);
  labels[5] = 4;
  tx_error error = {0};
  assert_int_equal(tx_stratified_folds(labels, 4, NULL, ROWS, FOLDS, 3, fold, &error),
                   TX_ERROR_ARGUMENT);
}

static void test_choose(void **state) {
  (void)state;
  problem p = make_problem(400, 30, 3, 9);
  const double candidates[] = {10, 1, 0.1, 0.01, 1e-3, 1e-4, 1e-5, 1e-6};
  double penalty = 0, nll[8];
  tx_error error = {0};
  succeeds(tx_logistic_choose(&p.dense, p.labels, 3, NULL, candidates, 8, 5, 1,
                              tx_logistic_defaults(), &penalty, nll, NULL, &error),
           &error);
  int best = 0;
  for (int i = 0; i < 8; i++) {
    if (nll[i] < nll[best]) best = i;
  }
  assert_true(candidates[best] == penalty && best > 0 && best < 5);
  assert_true(isfinite(nll[best + 2]) && isinf(nll[best + 3])); /* two worse ones end it */
  /* All alike: the strongest. */
  const double same[] = {0.1, 0.1};
  for (int64_t i = 0; i < 400 * 30; i++) ((float *)p.dense.dense)[i] = 0;
  succeeds(tx_logistic_choose(&p.dense, p.labels, 3, NULL, same, 2, 3, 1, tx_logistic_defaults(),
                              &penalty, nll, NULL, &error),
           &error);
  assert_true(penalty == same[0] && nll[0] == nll[1]);
  free_problem(&p);
  /* A label that stands in one fold only, and more folds than rows. */
  p = make_problem(4, 3, 3, 9);
  succeeds(tx_logistic_choose(&p.dense, p.labels, 3, NULL, candidates, 3, 7, 1,
                              tx_logistic_defaults(), &penalty, nll, NULL, &error),
           &error);
  assert_true(isfinite(nll[0]));
  free_problem(&p);
}

/* ---- failures ---------------------------------------------------------- */

static bool always(void *context) { return ++*(int *)context > 3; }

static void test_failures(void **state) {
  (void)state;
  problem p = make_problem(50, 5, 3, 2);
  tx_logistic_options options = tx_logistic_defaults();
  tx_error error = {0};
  ((float *)p.dense.dense)[7 * 5 + 2] = NAN;
  assert_int_equal(
      tx_logistic_fit(&p.dense, p.labels, 3, NULL, 0, options, p.weights, p.bias, NULL, &error),
      TX_ERROR_INPUT);
  assert_non_null(strstr(error.message, "feature 2 of row 7"));
  const int64_t use[] = {0, 1, 2, 3};
  assert_int_equal(
      tx_logistic_fit(&p.dense, p.labels, 3, use, 4, options, p.weights, p.bias, NULL, NULL),
      TX_OK);
  ((float *)p.dense.dense)[7 * 5 + 2] = 0;
  options.penalty = 0;
  assert_int_equal(
      tx_logistic_fit(&p.dense, p.labels, 3, NULL, 0, options, p.weights, p.bias, NULL, NULL),
      TX_ERROR_ARGUMENT);
  options = tx_logistic_defaults();
  int calls = 0;
  const tx_watch watch = {.cancelled = always, .context = &calls};
  clear_weights(&p);
  assert_int_equal(
      tx_logistic_fit(&p.dense, p.labels, 3, NULL, 0, options, p.weights, p.bias, &watch, NULL),
      TX_ERROR_INTERRUPTED);
  const double candidates[] = {1, 0.1};
  double penalty;
  assert_int_equal(tx_logistic_choose(&p.dense, p.labels, 3, NULL, candidates, 2, 3, 1, options,
                                      &penalty, NULL, &watch, NULL),
                   TX_ERROR_INTERRUPTED);
  p.labels[49] = 3;
  assert_int_equal(
      tx_logistic_fit(&p.dense, p.labels, 3, NULL, 0, options, p.weights, p.bias, NULL, NULL),
      TX_ERROR_ARGUMENT);
  free_problem(&p);
}

/* Starting at the optimum, and separable rows with next to no penalty. */
static void test_hard_cases(void **state) {
  (void)state;
  problem p = make_problem(90, 7, 3, 90);
  tx_logistic_options options = tx_logistic_defaults();
  options.tolerance = 0;
  options.max_iterations = 3000;
  tx_error error = {0};
  for (int again = 0; again < 3; again++) {
    succeeds(
        tx_logistic_fit(&p.dense, p.labels, 3, NULL, 0, options, p.weights, p.bias, NULL, &error),
        &error);
  }
  options = tx_logistic_defaults();
  options.penalty = 1e-12;
  for (int i = 0; i < 90; i++) {
    for (int f = 0; f < 7; f++) ((float *)p.dense.dense)[i * 7 + f] = f == p.labels[i] ? 1000 : 0;
  }
  clear_weights(&p);
  succeeds(
      tx_logistic_fit(&p.dense, p.labels, 3, NULL, 0, options, p.weights, p.bias, NULL, &error),
      &error);
  assert_true(plain_objective(&p, NULL, 0) < 1e-3);
  free_problem(&p);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_optimum),   cmocka_unit_test(test_gradient),
      cmocka_unit_test(test_marks_label_by_label),
      cmocka_unit_test(test_scores),    cmocka_unit_test(test_elementary),
      cmocka_unit_test(test_same_bits), cmocka_unit_test(test_folds),
      cmocka_unit_test(test_choose),    cmocka_unit_test(test_failures),
      cmocka_unit_test(test_hard_cases)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
