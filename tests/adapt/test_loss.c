/* Losses of one label a text and of marks: their values against plain formulas, their gradients
 * by finite differences, with smoothing and focus; and what counts as met. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "adapt/loss.h"
#include "base/random.h"

enum { CLASSES = 5, TEXTS = 7 };

static const tx_loss losses[] = {{0, 0}, {0.2, 0}, {0, 2}, {0, 0.5}};

typedef struct {
  float logits[TEXTS][CLASSES];
  int32_t labels[TEXTS];
  uint8_t marks[TEXTS][CLASSES];
  double weights[CLASSES];
} problem;

static problem make_problem(void) {
  problem p = {0};
  tx_random random = tx_random_seed(3);
  for (int i = 0; i < TEXTS; i++) {
    p.labels[i] = (int32_t)tx_random_below(&random, CLASSES);
    for (int c = 0; c < CLASSES; c++) {
      p.logits[i][c] = (float)(2 * tx_random_normal(&random));
      p.marks[i][c] = (uint8_t)(i > 0 && tx_random_below(&random, 2)); /* the first has none */
    }
  }
  for (int c = 0; c < CLASSES; c++) p.weights[c] = 0.5 + c;
  return p;
}

/* What a step makes smaller, of one text, in double. */
static double plain_label(const tx_loss *o, const double *z, int32_t label) {
  double sum = 0, loss = 0;
  for (int c = 0; c < CLASSES; c++) sum += exp(z[c]);
  for (int c = 0; c < CLASSES; c++) {
    double p = exp(z[c]) / sum;
    double target = (c == label ? 1 - o->smoothing : 0) + o->smoothing / CLASSES;
    loss -= (o->focus > 0 ? pow(1 - p, o->focus) : 1) * target * log(p);
  }
  return loss;
}

static double plain_marks(const tx_loss *o, const double *z, const uint8_t *marks) {
  double loss = 0;
  for (int c = 0; c < CLASSES; c++) {
    double p = 1 / (1 + exp(-z[c])), of_truth = marks[c] ? p : 1 - p;
    double target = marks[c] ? 1 - o->smoothing / 2 : o->smoothing / 2;
    double nll = -target * log(p) - (1 - target) * log(1 - p);
    loss += (o->focus > 0 ? pow(1 - of_truth, o->focus) : 1) * nll;
  }
  return loss / CLASSES;
}

static double plain(const problem *p, const tx_loss *o, bool marks, int text, const double *z) {
  return marks ? plain_marks(o, z, p->marks[text]) : plain_label(o, z, p->labels[text]);
}

static tx_truth truth_of(const problem *p, bool marks) {
  return (tx_truth){marks ? NULL : p->labels, marks ? p->marks[0] : NULL, NULL};
}

static void test_gradients(void **state) {
  (void)state;
  problem p = make_problem();
  for (size_t l = 0; l < sizeof losses / sizeof *losses; l++) {
    for (int marks = 0; marks < 2; marks++) {
      for (int i = 0; i < TEXTS; i++) {
        float row[CLASSES];
        double z[CLASSES];
        memcpy(row, p.logits[i], sizeof row);
        for (int c = 0; c < CLASSES; c++) z[c] = (double)row[c];
        double loss = tx_truth_backward(truth_of(&p, marks), i, &losses[l], row, CLASSES, 0.7);
        double want = 0.7 * plain(&p, &losses[l], marks, i, z);
        if (!(fabs(loss - want) < 1e-9)) fail_msg("loss %.12g, not %.12g", loss, want);
        for (int c = 0; c < CLASSES; c++) {
          const double step = 1e-5, kept = z[c];
          z[c] = kept + step;
          double above = plain(&p, &losses[l], marks, i, z);
          z[c] = kept - step;
          double below = plain(&p, &losses[l], marks, i, z);
          z[c] = kept;
          double slope = 0.7 * (above - below) / (2 * step);
          if (!(fabs(slope - (double)row[c]) < 1e-6)) {
            fail_msg("loss %zu, marks %d, text %d, class %d: %g, not %g", l, marks, i, c,
                     (double)row[c], slope);
          }
        }
      }
    }
  }
}

/* Judged without smoothing and focus. */
static void test_values(void **state) {
  (void)state;
  problem p = make_problem();
  const tx_loss none = {0, 0};
  for (int marks = 0; marks < 2; marks++) {
    for (int i = 0; i < TEXTS; i++) {
      double z[CLASSES];
      for (int c = 0; c < CLASSES; c++) z[c] = (double)p.logits[i][c];
      double loss = tx_truth_loss(truth_of(&p, marks), i, p.logits[i], CLASSES);
      assert_true(fabs(loss - plain(&p, &none, marks, i, z)) < 1e-9);
    }
  }
  /* Far from zero nothing overflows. */
  const float far[CLASSES] = {900, -900, 900, -900, 900};
  const uint8_t right[CLASSES] = {1, 0, 1, 0, 1}, wrong[CLASSES] = {0, 0, 1, 0, 1};
  assert_true(tx_truth_loss((tx_truth){NULL, right, NULL}, 0, far, CLASSES) < 1e-300);
  assert_true(fabs(tx_truth_loss((tx_truth){NULL, wrong, NULL}, 0, far, CLASSES) - 180) < 1e-9);
}

static void test_met(void **state) {
  (void)state;
  const float logits[3] = {-0.5f, 2, 0.25f};
  const int32_t labels[2] = {1, 2};
  const uint8_t marks[3][3] = {{0, 1, 1}, {0, 1, 0}, {1, 1, 1}};
  assert_true(tx_truth_met((tx_truth){labels, NULL, NULL}, 0, logits, 3));
  assert_false(tx_truth_met((tx_truth){labels, NULL, NULL}, 1, logits, 3));
  for (int i = 0; i < 3; i++) {
    assert_int_equal(tx_truth_met((tx_truth){NULL, marks[0], NULL}, i, logits, 3), i == 0);
  }
}

static void test_weights(void **state) {
  (void)state;
  problem p = make_problem();
  tx_truth truth = truth_of(&p, false);
  assert_true(tx_truth_weight(truth, 2) == 1);
  truth.weights = p.weights;
  assert_true(tx_truth_weight(truth, 2) == p.weights[p.labels[2]]);
  truth = truth_of(&p, true);
  truth.weights = p.weights;
  assert_true(tx_truth_weight(truth, 2) == 1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_gradients),
      cmocka_unit_test(test_values),
      cmocka_unit_test(test_met),
      cmocka_unit_test(test_weights),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
