/* Cross-validated ridge against the normal equations written down plainly in
 * double; the same bits on every path and any number of threads; and a lack of
 * memory at each place. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "failing.h"
#include "adapt/ridge.h"
#include "base/memory.h"
#include "base/random.h"
#include "kernels/kernels.h"
#include "taxon.h"

enum { ROWS = 190, WIDEST = 130, MOST_CLASSES = 77, MOST_FOLDS = 5 };

static const double penalties[] = {5, 0.4, 0.03};
enum { PENALTIES = sizeof penalties / sizeof *penalties };

typedef enum { EVEN, EMPTY_FOLD, LABEL_IN_ONE_FOLD, LAYOUTS } layout;
static const char *const layout_names[] = {"even", "an empty fold", "a label in one fold"};

typedef struct {
  int64_t rows, width;
  int classes, folds;
  int64_t starts[MOST_FOLDS + 1];
  int32_t labels[ROWS];
  float features[ROWS * WIDEST];
} problem;

static problem p; /* the one in work */

static void make_starts(layout how) {
  for (int f = 0; f <= p.folds; f++) p.starts[f] = p.rows * f / p.folds;
  if (how == EMPTY_FOLD) p.starts[1] = 0;
}

/* Standardised to about 1, with a little of the label in every third column. */
static void make_problem(int64_t rows, int64_t width, int classes, int folds, layout how) {
  tx_random random = tx_random_seed((uint64_t)(width * 1000 + classes * 10 + folds));
  p.rows = rows, p.width = width, p.classes = classes, p.folds = folds;
  make_starts(how);
  for (int64_t i = 0; i < rows; i++) {
    p.labels[i] = (int32_t)tx_random_below(&random, (uint64_t)classes);
    if (how == LABEL_IN_ONE_FOLD) {
      bool first = i < p.starts[1];
      if (first == (p.labels[i] != 0)) p.labels[i] = first ? 0 : 1;
      if (first && i % 3) p.labels[i] = 1; /* and another beside it */
    }
    for (int64_t k = 0; k < width; k++) {
      double told = k % 3 == 0 ? 0.8 * sin((double)(p.labels[i] * (k + 2))) : 0;
      p.features[i * width + k] = (float)(told + 0.9 * tx_random_normal(&random));
    }
  }
}

static tx_ridge_rows rows_of(void) {
  return (tx_ridge_rows){p.rows, p.labels, p.classes, p.folds, p.starts, NULL};
}

/* ---- the reference ------------------------------------------------------ */

/* x (size, columns) = matrix^-1 x; both are used up.  Pivots are the largest. */
static void eliminate(double *matrix, int64_t size, double *x, int64_t columns) {
  for (int64_t j = 0; j < size; j++) {
    int64_t pivot = j;
    for (int64_t i = j + 1; i < size; i++) {
      if (fabs(matrix[i * size + j]) > fabs(matrix[pivot * size + j])) pivot = i;
    }
    for (int64_t k = 0; k < size; k++) {
      double kept = matrix[j * size + k];
      matrix[j * size + k] = matrix[pivot * size + k], matrix[pivot * size + k] = kept;
    }
    for (int64_t k = 0; k < columns; k++) {
      double kept = x[j * columns + k];
      x[j * columns + k] = x[pivot * columns + k], x[pivot * columns + k] = kept;
    }
    for (int64_t i = 0; i < size; i++) {
      double times = i == j ? 0 : matrix[i * size + j] / matrix[j * size + j];
      if (times == 0) continue;
      for (int64_t k = j; k < size; k++) matrix[i * size + k] -= times * matrix[j * size + k];
      for (int64_t k = 0; k < columns; k++) x[i * columns + k] -= times * x[j * columns + k];
    }
  }
  for (int64_t i = 0; i < size; i++) {
    for (int64_t k = 0; k < columns; k++) x[i * columns + k] /= matrix[i * size + i];
  }
}

static bool held_out(int fold, int64_t row) {
  return row >= p.starts[fold] && row < p.starts[fold + 1];
}

/* weights (width, classes), mean (width) and share (classes) of the rows outside `fold`. */
static void fit_plainly(int fold, double penalty, double *weights, double *mean, double *share) {
  static double matrix[WIDEST * WIDEST];
  double count = 0;
  memset(matrix, 0, sizeof matrix);
  memset(weights, 0, sizeof(double) * WIDEST * MOST_CLASSES);
  for (int64_t k = 0; k < p.width; k++) mean[k] = 0;
  for (int c = 0; c < p.classes; c++) share[c] = 0;
  for (int64_t i = 0; i < p.rows; i++) {
    if (held_out(fold, i)) continue;
    count++, share[p.labels[i]]++;
    for (int64_t k = 0; k < p.width; k++) mean[k] += (double)p.features[i * p.width + k];
  }
  for (int64_t k = 0; k < p.width; k++) mean[k] /= count;
  for (int c = 0; c < p.classes; c++) share[c] /= count;
  for (int64_t i = 0; i < p.rows; i++) {
    if (held_out(fold, i)) continue;
    for (int64_t k = 0; k < p.width; k++) {
      double x = ((double)p.features[i * p.width + k] - mean[k]) / count;
      for (int64_t j = 0; j < p.width; j++) {
        matrix[k * p.width + j] += x * ((double)p.features[i * p.width + j] - mean[j]);
      }
      for (int c = 0; c < p.classes; c++) {
        weights[k * p.classes + c] += x * ((p.labels[i] == c ? 1 : 0) - share[c]);
      }
    }
  }
  for (int64_t k = 0; k < p.width; k++) matrix[k * p.width + k] += penalty;
  eliminate(matrix, p.width, weights, p.classes);
}

/* Whether a row is right, and whether rounding may say otherwise. */
static bool judge_plainly(int64_t row, const double *weights, const double *mean,
                          const double *share, bool *close) {
  double best = -INFINITY, second = -INFINITY;
  int label = -1;
  for (int c = 0; c < p.classes; c++) {
    double score = share[c];
    for (int64_t k = 0; k < p.width; k++) {
      score += ((double)p.features[row * p.width + k] - mean[k]) * weights[k * p.classes + c];
    }
    if (score > best) {
      second = best, best = score, label = c;
    } else if (score > second) {
      second = score;
    }
  }
  *close = best - second < 1e-4;
  return label == p.labels[row];
}

static int64_t all_compared, all_right;

static void check_against_plain(const char *what) {
  static double weights[WIDEST * MOST_CLASSES], mean[WIDEST], share[MOST_CLASSES];
  static uint8_t correct[PENALTIES * ROWS];
  tx_ridge_rows rows = rows_of();
  tx_error error = {0};
  int64_t compared = 0, right = 0;
  memset(correct, 7, sizeof correct);
  assert_int_equal(tx_ridge_validate(&rows, p.features, p.width, penalties, PENALTIES, correct,
                                     &error),
                   TX_OK);
  for (int q = 0; q < PENALTIES; q++) {
    for (int f = 0; f < p.folds; f++) {
      fit_plainly(f, penalties[q], weights, mean, share);
      for (int64_t i = p.starts[f]; i < p.starts[f + 1]; i++) {
        bool close, want = judge_plainly(i, weights, mean, share, &close);
        if (close) continue;
        compared++, right += want;
        if (correct[q * p.rows + i] != want) {
          fail_msg("%s, width %d, %d classes, %d folds, penalty %g: row %d is %d, not %d", what,
                   (int)p.width, p.classes, p.folds, penalties[q], (int)i,
                   correct[q * p.rows + i], want);
        }
      }
    }
  }
  assert_true(compared > PENALTIES * p.rows * 9 / 10);
  all_compared += compared, all_right += right;
}

/* ---- the tests ----------------------------------------------------------- */

static const int64_t widths[] = {1, 3, 47, 48, 49, 96, 130};
static const int classes[] = {2, 3, 77};
static const int folds[] = {2, 5};

static void test_against_normal_equations(void **state) {
  (void)state;
  tx_set_threads(2);
  for (int w = 0; w < 7; w++) {
    for (int c = 0; c < 3; c++) {
      for (int f = 0; f < 2; f++) {
        /* Of the large ones, one layout each. */
        for (int l = 0; l < LAYOUTS; l++) {
          if (widths[w] > 49 && l != (w + c + f) % LAYOUTS) continue;
          make_problem(ROWS, widths[w], classes[c], folds[f], (layout)l);
          check_against_plain(layout_names[l]);
        }
      }
    }
  }
  /* Fewer rows than features. */
  for (int c = 0; c < 3; c++) {
    for (int f = 0; f < 2; f++) {
      for (int l = 0; l < LAYOUTS; l++) {
        make_problem(95 + f, widths[l == EVEN ? 5 : 6], classes[c], folds[f], (layout)l);
        check_against_plain(layout_names[l]);
      }
    }
  }
  /* Both answers are frequent. */
  assert_true(all_right > all_compared / 5 && all_right < all_compared * 4 / 5);
}

/* A column that is constant, one that stands twice, and more columns than rows. */
static void test_singular_without_penalty(void **state) {
  (void)state;
  make_problem(60, 96, 3, 5, EVEN);
  for (int64_t i = 0; i < p.rows; i++) {
    p.features[i * 96 + 7] = 0;
    p.features[i * 96 + 50] = p.features[i * 96 + 3];
  }
  check_against_plain("singular");
}

/* One fold that has all rows leaves nothing to fit: no row is right. */
static void test_nothing_to_fit(void **state) {
  (void)state;
  uint8_t correct[2 * ROWS];
  tx_error error = {0};
  make_problem(30, 5, 2, 2, EVEN);
  p.starts[1] = 30, p.starts[2] = 30;
  tx_ridge_rows rows = rows_of();
  memset(correct, 7, sizeof correct);
  assert_int_equal(tx_ridge_validate(&rows, p.features, 5, penalties, 2, correct, &error), TX_OK);
  for (int i = 0; i < 60; i++) assert_int_equal(correct[i], 0);
  assert_int_equal(correct[60], 7);
}

/* Marks of one label a row are that label: the same answers, in both forms. */
static void test_marks_of_one_label(void **state) {
  (void)state;
  static uint8_t marks[ROWS * 7], want[PENALTIES * ROWS], got[PENALTIES * ROWS];
  for (int wide = 0; wide < 2; wide++) {
    tx_error error = {0};
    make_problem(wide ? 60 : ROWS, wide ? 96 : 33, 7, 5, EVEN);
    tx_ridge_rows rows = rows_of();
    assert_int_equal(tx_ridge_validate(&rows, p.features, p.width, penalties, PENALTIES, want,
                                       &error),
                     TX_OK);
    memset(marks, 0, sizeof marks);
    for (int64_t i = 0; i < p.rows; i++) marks[i * 7 + p.labels[i]] = 1;
    rows.labels = NULL, rows.marks = marks;
    assert_int_equal(tx_ridge_validate(&rows, p.features, p.width, penalties, PENALTIES, got,
                                       &error),
                     TX_OK);
    int64_t right = 0;
    for (int64_t i = 0; i < PENALTIES * p.rows; i++) {
      assert_int_equal(got[i], want[i] ? TX_RIDGE_WHOLE : 0);
      right += want[i];
    }
    assert_in_range(right, PENALTIES * p.rows / 5, PENALTIES * p.rows - 1);
  }
}

/* Labels that each stand in a column of their own are all found; shares count where
 * one of two is hidden, and a row without labels is right when nothing is claimed. */
static void test_marks_of_several(void **state) {
  (void)state;
  enum { CLASSES = 4, N = 160 };
  static uint8_t marks[N * CLASSES], correct[N];
  tx_random random = tx_random_seed(9);
  tx_error error = {0};
  make_problem(N, CLASSES, CLASSES, 4, EVEN);
  for (int i = 0; i < N; i++) {
    for (int c = 0; c < CLASSES; c++) {
      marks[i * CLASSES + c] = i % 4 != 3 && tx_random_below(&random, 2);
      if (i % 4 == 2) marks[i * CLASSES + c] = c < 2;
      double shown = i % 4 == 2 && c == 1 ? -1 : marks[i * CLASSES + c] ? 1 : -1;
      p.features[i * CLASSES + c] = (float)(shown + 0.02 * tx_random_normal(&random));
    }
  }
  tx_ridge_rows rows = rows_of();
  rows.labels = NULL, rows.marks = marks;
  assert_int_equal(tx_ridge_validate(&rows, p.features, CLASSES, (const double[]){1e-3}, 1, correct,
                                     &error),
                   TX_OK);
  for (int i = 0; i < N; i++) {
    if (i % 4 == 2) { /* the hidden one is guessed with a share of chance */
      assert_true(correct[i] == TX_RIDGE_WHOLE / 2 || correct[i] == TX_RIDGE_WHOLE);
    } else {
      assert_int_equal(correct[i], TX_RIDGE_WHOLE);
    }
  }
}

static void test_same_bits(void **state) {
  (void)state;
  static const char *const paths[] = {"generic", "avx2", "avx512"};
  static uint8_t want[PENALTIES * ROWS], got[PENALTIES * ROWS];
  tx_error error = {0};
  for (int w = 0; w < 7; w++) {
    for (int c = 0; c < 3; c++) {
      make_problem(w % 2 ? ROWS : 45, widths[w], classes[c], 5, EVEN);
      tx_ridge_rows rows = rows_of();
      for (int run = 0; run < 9; run++) {
        if (!tx_kernels_find(paths[run / 3])) continue;
        setenv("TAXON_CPU", paths[run / 3], 1);
        tx_set_threads(1 + run % 3);
        memset(got, 7, sizeof got);
        assert_int_equal(tx_ridge_validate(&rows, p.features, p.width, penalties, PENALTIES, got,
                                           &error),
                         TX_OK);
        if (run == 0) memcpy(want, got, sizeof want);
        assert_memory_equal(got, want, sizeof want);
      }
    }
  }
  unsetenv("TAXON_CPU");
  tx_set_threads(0);
}

/* ---- no memory ------------------------------------------------------------ */

#ifdef FAILING_WORKS
static int validate(void *context) {
  static uint8_t correct[PENALTIES * ROWS];
  tx_error *error = context;
  tx_ridge_rows rows = rows_of();
  *error = (tx_error){0};
  return (int)tx_ridge_validate(&rows, p.features, p.width, penalties, PENALTIES, correct, error);
}

static void check_no_memory(void *context, int64_t call, bool failed, int result) {
  (void)call;
  tx_error *error = context;
  assert_int_equal(result, failed ? TX_ERROR_SYSTEM : TX_OK);
  assert_int_equal(error->status, result);
}

static void test_no_memory(void **state) {
  (void)state;
  tx_error error;
  tx_set_threads(1);
  for (int64_t rows = 40; rows <= 50; rows += 10) {
    make_problem(rows, 49, 3, 2, EVEN);
    validate(&error); /* what is kept for good is there */
    int64_t blocks = failing_blocks;
    assert_in_range(failing_each(validate, check_no_memory, &error), 5, 100);
    assert_int_equal(failing_blocks, blocks);
  }
  tx_set_threads(0);
}
#else
static void test_no_memory(void **state) { (void)state; }
#endif

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_against_normal_equations),
      cmocka_unit_test(test_singular_without_penalty),
      cmocka_unit_test(test_nothing_to_fit),
      cmocka_unit_test(test_marks_of_one_label),
      cmocka_unit_test(test_marks_of_several),
      cmocka_unit_test(test_same_bits),
      cmocka_unit_test(test_no_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
