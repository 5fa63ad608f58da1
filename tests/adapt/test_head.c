/* The convex head: its solution is the optimum of the penalised objective in
 * standardised space, and folding back changes no logit.  Reference: a plain
 * gradient in double, written here from the formula. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "adapt/head.h"
#include "base/error.h"
#include "base/random.h"

enum { ROWS = 60, WIDTH = 12, CLASSES = 3, CONSTANT = 4, TINY = 7 };

typedef struct {
  int64_t rows;
  int width, classes;
  float *features; /* (rows, width) */
  int32_t *labels;
  uint64_t *groups;
  float *weight, *bias;
  double *mean, *deviation; /* (width) */
} problem;

static void *memory(size_t count, size_t size) {
  void *block = calloc(count + 1, size);
  assert_non_null(block);
  return block;
}

/* Features of very different sizes, one of them constant. */
static problem make_problem(int64_t rows, int width, int classes, uint64_t seed) {
  tx_random random = tx_random_seed(seed);
  problem p = {.rows = rows, .width = width, .classes = classes};
  p.features = memory((size_t)rows * (size_t)width, sizeof(float));
  p.labels = memory((size_t)rows, sizeof(int32_t));
  p.groups = memory((size_t)rows, sizeof(uint64_t));
  p.weight = memory((size_t)classes * (size_t)width, sizeof(float));
  p.bias = memory((size_t)classes, sizeof(float));
  p.mean = memory((size_t)width, sizeof(double));
  p.deviation = memory((size_t)width, sizeof(double));
  for (int64_t i = 0; i < rows; i++) {
    p.labels[i] = (int32_t)tx_random_below(&random, (uint64_t)classes);
    if (i < classes) p.labels[i] = (int32_t)i;
    p.groups[i] = (uint64_t)i;
    for (int c = 0; c < width; c++) {
      double value = tx_random_normal(&random) + 0.8 * (c % classes == p.labels[i]);
      double size = c == TINY ? 1e-4 : 1 + 10.0 * c, shift = c == TINY ? 0 : 5.0 * c;
      if (c == CONSTANT) value = 0;
      p.features[i * width + c] = (float)(value * size + shift);
    }
  }
  for (int c = 0; c < width; c++) {
    for (int64_t i = 0; i < rows; i++) {
      p.mean[c] += (double)p.features[i * width + c] / (double)rows;
    }
    for (int64_t i = 0; i < rows; i++) {
      double away = (double)p.features[i * width + c] - p.mean[c];
      p.deviation[c] += away * away / (double)rows;
    }
    p.deviation[c] = sqrt(p.deviation[c]);
  }
  return p;
}

static void free_problem(problem *p) {
  free(p->features), free(p->labels), free(p->groups);
  free(p->weight), free(p->bias), free(p->mean), free(p->deviation);
}

static double fit(problem *p, tx_head_options options) {
  double penalty = -1;
  tx_error error = {0};
  if (tx_head_fit(p->features, p->labels, p->groups, p->rows, p->width, p->classes, options,
                  p->weight, p->bias, &penalty, NULL, &error) != TX_OK) {
    fail_msg("%s", error.message);
  }
  return penalty;
}

static double standardised(const problem *p, int64_t row, int c) {
  double away = (double)p->features[row * p->width + c] - p->mean[c];
  return p->deviation[c] > 1e-6 ? away / p->deviation[c] : 0;
}

/* Softmax of the folded head on the features as they are. */
static void probabilities(const problem *p, int64_t row, double *out) {
  double top = -HUGE_VAL, sum = 0;
  for (int k = 0; k < p->classes; k++) {
    out[k] = (double)p->bias[k];
    for (int c = 0; c < p->width; c++) {
      out[k] += (double)p->weight[k * p->width + c] * (double)p->features[row * p->width + c];
    }
    if (out[k] > top) top = out[k];
  }
  for (int k = 0; k < p->classes; k++) sum += out[k] = exp(out[k] - top);
  for (int k = 0; k < p->classes; k++) out[k] /= sum;
}

/* The largest element of the gradient in standardised space, where the weight is
 * the folded one times the deviation. */
static double steepest(const problem *p, double penalty, const double *class_weights) {
  double *slope = memory((size_t)(p->classes * (p->width + 1)), sizeof(double)), worst = 0;
  double row[8];
  for (int64_t i = 0; i < p->rows; i++) {
    double weight = (class_weights ? class_weights[p->labels[i]] : 1) / (double)p->rows;
    probabilities(p, i, row);
    for (int k = 0; k < p->classes; k++) {
      double away = weight * (row[k] - (k == p->labels[i]));
      for (int c = 0; c < p->width; c++) {
        slope[k * (p->width + 1) + c] += away * standardised(p, i, c);
      }
      slope[k * (p->width + 1) + p->width] += away;
    }
  }
  for (int k = 0; k < p->classes; k++) {
    for (int c = 0; c <= p->width; c++) {
      double own =
          c < p->width ? penalty * (double)p->weight[k * p->width + c] * p->deviation[c] : 0;
      worst = fmax(worst, fabs(slope[k * (p->width + 1) + c] + own));
    }
  }
  free(slope);
  return worst;
}

static const tx_head_options plain = {.penalty = 0.01, .folds = 5, .seed = 3};

/* With the folding wrong in any way, the gradient would not vanish either: the
 * logits are those of the folded head. */
static void test_the_solution_is_the_optimum(void **state) {
  (void)state;
  static const double penalties[] = {1, 0.1, 0.01, 1e-3};
  static const double weights[] = {1, 3, 0.2};
  for (int classes = 2; classes <= CLASSES; classes++) {
    for (int i = 0; i < 4; i++) {
      for (int weighted = 0; weighted < 2; weighted++) {
        problem p = make_problem(ROWS, WIDTH, classes, 11);
        tx_head_options options = plain;
        options.penalty = penalties[i];
        options.class_weights = weighted ? weights : NULL;
        assert_true(fit(&p, options) == penalties[i]);
        double slope = steepest(&p, penalties[i], options.class_weights);
        if (!(slope < 1e-4)) {
          fail_msg("%d classes, penalty %g, weighted %d: slope %g", classes, penalties[i], weighted,
                   slope);
        }
        free_problem(&p);
      }
    }
  }
}

static void test_constant_features_get_no_weight(void **state) {
  (void)state;
  problem p = make_problem(ROWS, WIDTH, CLASSES, 12);
  fit(&p, plain);
  for (int k = 0; k < CLASSES; k++) {
    assert_true(p.weight[k * WIDTH + CONSTANT] == 0);
    assert_true(p.weight[k * WIDTH + TINY] != 0); /* small is not constant */
  }
  for (int64_t i = 0; i < ROWS * WIDTH; i++) p.features[i] = 3;
  fit(&p, plain); /* nothing varies: the biases are the shares */
  double row[CLASSES];
  int64_t counts[CLASSES] = {0};
  for (int64_t i = 0; i < ROWS; i++) counts[p.labels[i]]++;
  probabilities(&p, 0, row);
  for (int k = 0; k < CLASSES; k++) {
    assert_true(p.weight[k * WIDTH] == 0);
    assert_true(fabs(row[k] - (double)counts[k] / ROWS) < 1e-3);
  }
  free_problem(&p);
}

/* Scaling and shifting the features changes the weights, but no answer. */
static void test_units_do_not_matter(void **state) {
  (void)state;
  problem p = make_problem(ROWS, WIDTH, CLASSES, 13), q = make_problem(ROWS, WIDTH, CLASSES, 13);
  for (int64_t i = 0; i < ROWS * WIDTH; i++) {
    q.features[i] = q.features[i] * 4 - (i % WIDTH == TINY ? 0 : 32);
  }
  fit(&p, plain), fit(&q, plain);
  for (int64_t i = 0; i < ROWS; i++) {
    double a[CLASSES], b[CLASSES];
    probabilities(&p, i, a), probabilities(&q, i, b);
    for (int k = 0; k < CLASSES; k++) assert_true(fabs(a[k] - b[k]) < 1e-3);
  }
  free_problem(&p), free_problem(&q);
}

static void test_more_classes_than_rows(void **state) {
  (void)state;
  problem p = make_problem(4, WIDTH, 8, 14);
  for (int64_t i = 0; i < 4; i++) p.labels[i] = (int32_t)(2 * i);
  for (int choose = 0; choose < 2; choose++) {
    tx_head_options options = plain;
    if (choose) options.penalty = 0;
    double penalty = fit(&p, options);
    assert_true(penalty > 0);
    for (int64_t i = 0; i < 4; i++) {
      double row[8], sum = 0;
      probabilities(&p, i, row);
      for (int k = 0; k < 8; k++) sum += row[k];
      assert_true(fabs(sum - 1) < 1e-9);
      for (int k = 1; k < 8; k += 2) assert_true(row[k] < 0.05); /* never seen */
    }
  }
  free_problem(&p);
}

/* Down to two rows, with fewer rows than folds, and all in one group. */
static void test_few_rows(void **state) {
  (void)state;
  for (int64_t rows = 2; rows < 8; rows++) {
    for (int grouped = 0; grouped < 2; grouped++) {
      problem p = make_problem(rows, WIDTH, 2, 15);
      for (int64_t i = 0; grouped && i < rows; i++) p.groups[i] = 1;
      tx_head_options options = plain;
      options.penalty = 0;
      assert_true(fit(&p, options) > 0);
      for (int i = 0; i < 2 * WIDTH; i++) assert_true(isfinite(p.weight[i]));
      free_problem(&p);
    }
  }
}

static void test_the_penalty_is_chosen_by_the_data(void **state) {
  (void)state;
  problem noise = make_problem(ROWS, WIDTH, CLASSES, 16);
  tx_random random = tx_random_seed(1);
  for (int64_t i = 0; i < ROWS; i++) noise.labels[i] = (int32_t)tx_random_below(&random, CLASSES);
  problem clear = make_problem(ROWS, WIDTH, CLASSES, 17);
  for (int64_t i = 0; i < ROWS; i++) clear.features[i * WIDTH] = 20 * (float)clear.labels[i];
  tx_head_options options = plain;
  options.penalty = 0;
  double of_noise = fit(&noise, options), of_clear = fit(&clear, options);
  assert_true(of_noise >= 1 && of_clear <= 0.01);
  assert_true(fit(&clear, options) == of_clear);
  free_problem(&noise), free_problem(&clear);
}

static bool always(void *context) {
  (void)context;
  return true;
}

static void test_failures(void **state) {
  (void)state;
  problem p = make_problem(ROWS, WIDTH, CLASSES, 18);
  tx_error error = {0};
  double penalty;
  tx_watch watch = {.cancelled = always};
  for (int choose = 0; choose < 2; choose++) {
    tx_head_options options = plain;
    options.penalty = choose ? 0 : 0.01;
    error = (tx_error){0};
    assert_int_equal(tx_head_fit(p.features, p.labels, p.groups, ROWS, WIDTH, CLASSES, options,
                                 p.weight, p.bias, &penalty, &watch, &error),
                     TX_ERROR_INTERRUPTED);
  }
  static const float bad[] = {NAN, INFINITY};
  for (int i = 0; i < 2; i++) {
    p.features[17 * WIDTH + 2] = bad[i];
    error = (tx_error){0};
    assert_int_equal(tx_head_fit(p.features, p.labels, p.groups, ROWS, WIDTH, CLASSES, plain,
                                 p.weight, p.bias, &penalty, NULL, &error),
                     TX_ERROR_INPUT);
    assert_non_null(
        strstr(error.message, i ? "feature 2 of row 17 is inf;" : "feature 2 of row 17 is nan;"));
    assert_non_null(strstr(error.message, "find out which text or weight it comes from"));
  }
  free_problem(&p);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_the_solution_is_the_optimum),
      cmocka_unit_test(test_constant_features_get_no_weight),
      cmocka_unit_test(test_units_do_not_matter),
      cmocka_unit_test(test_more_classes_than_rows),
      cmocka_unit_test(test_few_rows),
      cmocka_unit_test(test_the_penalty_is_chosen_by_the_data),
      cmocka_unit_test(test_failures),
  };
  tx_set_threads(1);
  return cmocka_run_group_tests(tests, NULL, NULL);
}
