/* The training loop: schedules, early stopping, the best epoch kept, class
 * weights, and losses that are no number.  The tail is a head alone over made
 * features; what it computes is tested in test_tail.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "golden.h"
#include "adapt/fit.h"
#include "adapt/tail.h"
#include "base/random.h"

/* ---- schedules --------------------------------------------------------- */

static void test_schedule_factors(void **state) {
  (void)state;
  static const struct {
    tx_schedule schedule;
    double warm_up;
    int64_t steps;
    double factors[8];
  } cases[] = {
      {TX_SCHEDULE_CONSTANT, 0, 3, {1, 1, 1}},
      {TX_SCHEDULE_CONSTANT, 1, 4, {0.2, 0.4, 0.6, 0.8}},
      {TX_SCHEDULE_COSINE, 1, 4, {0.2, 0.4, 0.6, 0.8}},
      {TX_SCHEDULE_CONSTANT, 0.5, 4, {1.0 / 3, 2.0 / 3, 1, 1}},
      {TX_SCHEDULE_COSINE, 0, 1, {1}},
      {TX_SCHEDULE_COSINE, 0, 4, {1, 0.8535533905932737, 0.5, 0.1464466094067262}},
      {TX_SCHEDULE_LINEAR, 0, 4, {1, 0.75, 0.5, 0.25}},
      {TX_SCHEDULE_LINEAR, 0.5, 4, {1.0 / 3, 2.0 / 3, 1, 0.5}},
      {TX_SCHEDULE_COSINE,
       0.5,
       8,
       {0.2, 0.4, 0.6, 0.8, 1, 0.8535533905932737, 0.5, 0.1464466094067262}},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    for (int64_t step = 0; step < cases[i].steps; step++) {
      double factor = tx_schedule_factor(cases[i].schedule, cases[i].warm_up, step, cases[i].steps);
      if (fabs(factor - cases[i].factors[step]) > 1e-15) {
        fail_msg("case %d, step %d: %.17g", (int)i, (int)step, factor);
      }
    }
  }
}

/* Whatever the share of the warm-up: never 0, never above 1, rising, then not. */
static void test_schedules_have_no_gap(void **state) {
  (void)state;
  for (int64_t steps = 1; steps < 60; steps += 7) {
    for (int share = 0; share <= 40; share++) {
      double warm_up = share / 40.0, before = 0;
      for (int64_t step = 0; step < steps; step++) {
        double factor = tx_schedule_factor(TX_SCHEDULE_COSINE, warm_up, step, steps);
        assert_true(factor > 0 && factor <= 1);
        bool rises = (double)step < warm_up * (double)steps;
        assert_true(rises ? factor > before : factor <= before || before < 1 || step == 0);
        before = factor;
      }
    }
  }
}

/* ---- a head over made features ----------------------------------------- */

enum { TRAIN = 40, HELD_OUT = 30, CLASSES = 3 };

typedef struct {
  tx_model *model;
  tx_pass pass;
  tx_tail *tail;
  tx_states train, held_out;
  int64_t offsets[TRAIN + 1];
  int32_t labels[TRAIN], held_out_labels[HELD_OUT];
  const double *weights; /* (CLASSES) or NULL */
} fixture;

/* Feature number `label` is raised by `signal`, the others are noise. */
static void make_features(tx_random *random, tx_states *states, int32_t *labels, double signal) {
  for (int64_t i = 0; i < states->count; i++) {
    labels[i] = (int32_t)(i % CLASSES);
    for (int64_t c = 0; c < states->width; c++) {
      double value = tx_random_normal(random) + (c == labels[i] ? signal : 0);
      states->rows[i * states->width + c] = (float)value;
    }
  }
}

static fixture open_averaged(bool averaged) {
  fixture f = {0};
  ASSERT_OK(tx_model_open("tests/golden/tiny_llama.gguf", NULL, &f.model, error));
  ASSERT_OK(tx_pass_open(tx_model_facts(f.model), &f.pass, error));
  tx_tail_options options = {.depth = tx_model_facts(f.model)->blocks,
                             .classes = CLASSES,
                             .averaged = averaged};
  ASSERT_OK(tx_tail_new(f.model, options, &f.tail, error));
  return f;
}

static fixture open_fixture(void) { return open_averaged(false); }

/* The states borrow the fixture's offsets: it must have its place by now. */
static void fill_fixture(fixture *f, double signal) {
  int64_t width = tx_model_facts(f->model)->width;
  tx_random random = tx_random_seed(5);
  for (int64_t i = 0; i <= TRAIN; i++) f->offsets[i] = i;
  ASSERT_OK(tx_states_new(TRAIN, f->offsets, width, 1 << 20, ".", &f->train, error));
  ASSERT_OK(tx_states_new(HELD_OUT, f->offsets, width, 1 << 20, ".", &f->held_out, error));
  make_features(&random, &f->train, f->labels, signal);
  make_features(&random, &f->held_out, f->held_out_labels, signal);
}

static void close_fixture(fixture *f) {
  tx_tail_free(f->tail);
  tx_states_free(&f->train);
  tx_states_free(&f->held_out);
  tx_pass_close(&f->pass);
  tx_model_close(f->model);
}

static tx_fit_options plain_options(void) {
  return (tx_fit_options){.epochs = 6,
                          .batch = 8,
                          .accumulate = 1,
                          .learning_rate = 0.02,
                          .schedule = TX_SCHEDULE_CONSTANT};
}

static tx_status fit(fixture *f, tx_fit_options options, tx_fit_report *report,
                     const tx_watch *watch, tx_error *error) {
  tx_tail_lesson lesson = {.tail = f->tail,
                           .pass = &f->pass,
                           .train = &f->train,
                           .held_out = &f->held_out,
                           .truth = {f->labels, NULL, f->weights},
                           .held_out_truth = {f->held_out_labels, NULL, NULL}};
  tx_learner learner = tx_tail_learner(&lesson);
  return tx_fit(&learner, options, report, watch, error);
}

static double held_out_loss(fixture *f) {
  double loss;
  int64_t correct;
  ASSERT_OK(tx_tail_loss(f->tail, &f->pass, &f->held_out, (tx_choice){NULL, 0},
                         (tx_truth){f->held_out_labels, NULL, NULL}, &loss, &correct, NULL, error));
  return loss;
}

/* ---- stopping and keeping ---------------------------------------------- */

/* The held-out labels are those of the next class: every step makes it worse. */
static void test_patience_stops_and_the_start_is_kept(void **state) {
  (void)state;
  fixture f = open_fixture();
  fill_fixture(&f, 2);
  for (int i = 0; i < HELD_OUT; i++) f.held_out_labels[i] = (f.held_out_labels[i] + 1) % CLASSES;
  float *start = checked_memory(64 * CLASSES * sizeof(float)), bias[CLASSES] = {0.5f, 0, -0.5f};
  for (int i = 0; i < 64 * CLASSES; i++) start[i] = (float)(i % 5) * 0.01f;
  tx_tail_set_head(f.tail, start, bias);
  double before = held_out_loss(&f);
  for (int patience = 0; patience <= 3; patience++) {
    tx_fit_options options = plain_options();
    tx_fit_report report;
    options.patience = patience;
    ASSERT_OK(fit(&f, options, &report, NULL, error));
    assert_int_equal(report.epochs, patience ? patience : 6);
    assert_int_equal(report.best_epoch, 0);
    assert_true(report.best_loss == before);
    assert_memory_equal(tx_tail_head_weight(f.tail), start, 64 * CLASSES * sizeof(float));
    assert_memory_equal(tx_tail_head_bias(f.tail), bias, sizeof bias);
    assert_true(held_out_loss(&f) == before); /* what the kernels read is restored too */
  }
  free(start);
  close_fixture(&f);
}

typedef struct {
  int epochs;
  double losses[50]; /* as the notes say them */
  int64_t reports, last_done, calls, stop_at;
} watching;

static void watch_note(void *context, const char *sentence) {
  watching *w = context;
  const char *loss = strstr(sentence, "validation loss ");
  assert_non_null(loss);
  w->losses[w->epochs++] = strtod(loss + strlen("validation loss "), NULL);
}

static void watch_report(void *context, const char *stage, int64_t done, int64_t total,
                         const char *unit) {
  watching *w = context;
  assert_string_equal(stage, "train");
  assert_string_equal(unit, "steps");
  assert_true(done == w->last_done + 1 && done <= total);
  w->last_done = done;
  w->reports++;
}

static bool watch_cancelled(void *context) {
  watching *w = context;
  return ++w->calls == w->stop_at;
}

/* Weak signal and many features: it learns, then learns by heart. */
static void test_the_best_epoch_is_kept(void **state) {
  (void)state;
  fixture f = open_fixture();
  fill_fixture(&f, 1.5);
  watching seen = {0};
  tx_watch watch = {watch_report, watch_note, NULL, &seen};
  tx_fit_options options = plain_options();
  tx_fit_report report;
  options.epochs = 40;
  ASSERT_OK(fit(&f, options, &report, &watch, error));
  assert_int_equal(report.epochs, 40);
  assert_int_equal(seen.epochs, 41);
  assert_int_equal(seen.reports, 40 * 5);
  assert_true(report.best_epoch > 0 && report.best_epoch < 40);
  int best = 0;
  for (int i = 1; i < seen.epochs; i++) best = seen.losses[i] < seen.losses[best] ? i : best;
  assert_true(fabs(seen.losses[best] - report.best_loss) < 1e-4);
  assert_true(seen.losses[40] > seen.losses[best] + 0.01); /* or the case shows nothing */
  assert_true(held_out_loss(&f) == report.best_loss);
  close_fixture(&f);
}

static void test_one_seed_one_result(void **state) {
  (void)state;
  float *heads[3];
  double losses[3];
  for (int i = 0; i < 3; i++) {
    fixture f = open_fixture();
    fill_fixture(&f, 1);
    tx_fit_options options = plain_options();
    tx_fit_report report;
    options.seed = i == 2;
    ASSERT_OK(fit(&f, options, &report, NULL, error));
    heads[i] = checked_memory(64 * CLASSES * sizeof(float));
    memcpy(heads[i], tx_tail_head_weight(f.tail), 64 * CLASSES * sizeof(float));
    losses[i] = report.best_loss;
    close_fixture(&f);
  }
  assert_memory_equal(heads[0], heads[1], 64 * CLASSES * sizeof(float));
  assert_true(losses[0] == losses[1] && losses[0] != losses[2]);
  for (int i = 0; i < 3; i++) free(heads[i]);
}

static void test_stopped_by_the_caller(void **state) {
  (void)state;
  fixture f = open_fixture();
  fill_fixture(&f, 1);
  for (int64_t n = 1; n < 20; n += 3) {
    watching seen = {.stop_at = n};
    tx_watch watch = {.cancelled = watch_cancelled, .context = &seen};
    tx_fit_report report;
    tx_error error = {0};
    assert_int_equal(fit(&f, plain_options(), &report, &watch, &error), TX_ERROR_INTERRUPTED);
    assert_int_equal(seen.calls, n);
  }
  close_fixture(&f);
}

/* ---- class weights ----------------------------------------------------- */

static void run_weighted(fixture *f, const double *weights, int batch, float *head) {
  float *zero = checked_memory(64 * CLASSES * sizeof(float)), bias[CLASSES] = {0};
  tx_tail_set_head(f->tail, zero, bias);
  free(zero);
  tx_parameters *set = tx_tail_parameters(f->tail);
  for (int64_t i = 0; i < set->count; i++) { /* the moments of the run before */
    size_t bytes = (size_t)(set->items[i].outputs * set->items[i].inputs) * sizeof(float);
    memset(set->items[i].first, 0, bytes), memset(set->items[i].second, 0, bytes);
  }
  set->steps = 0;
  tx_fit_options options = plain_options();
  tx_fit_report report;
  f->weights = weights;
  options.batch = batch;
  options.epochs = 3;
  ASSERT_OK(fit(f, options, &report, NULL, error));
  memcpy(head, tx_tail_head_weight(f->tail), 64 * CLASSES * sizeof(float));
}

/* A weight of 2 is a row twice, and equal weights are none. */
static void test_class_weights(void **state) {
  (void)state;
  fixture f = open_fixture();
  fill_fixture(&f, 2);
  float *heads = checked_memory(4 * 64 * CLASSES * sizeof(float)), *head[4];
  for (int i = 0; i < 4; i++) head[i] = heads + i * 64 * CLASSES;
  run_weighted(&f, NULL, 8, head[0]);
  run_weighted(&f, (double[]){1, 1, 1}, 8, head[1]);
  assert_memory_equal(head[0], head[1], 64 * CLASSES * sizeof(float));
  run_weighted(&f, (double[]){2, 1, 1}, TRAIN, head[2]);
  assert_memory_not_equal(head[0], head[2], 64 * CLASSES * sizeof(float));
  /* 30 rows, then those of the first class again */
  fixture twice = open_fixture();
  fill_fixture(&twice, 2);
  tx_states *rows = &twice.train;
  size_t width = (size_t)rows->width;
  rows->count = f.train.count = 30;
  run_weighted(&f, (double[]){2, 1, 1}, TRAIN, head[2]);
  for (int i = 0; i < 10; i++, rows->count++) {
    memcpy(rows->rows + (size_t)rows->count * width, rows->rows + (size_t)(3 * i) * width,
           width * sizeof(float));
    twice.labels[rows->count] = 0;
  }
  run_weighted(&twice, NULL, TRAIN, head[3]);
  assert_close(head[2], head[3], 64 * CLASSES, 1e-5, "a weight of two");
  rows->count = TRAIN, f.train.count = TRAIN;
  free(heads);
  close_fixture(&twice);
  close_fixture(&f);
}

/* ---- averages and draws -------------------------------------------------- */

/* The head after some epochs of one step each, all of which make it better. */
static void head_after(int epochs, double average, float *head) {
  fixture f = open_averaged(average > 0);
  fill_fixture(&f, 2);
  tx_fit_options options = plain_options();
  tx_fit_report report;
  options.epochs = epochs;
  options.batch = TRAIN;
  options.learning_rate = 0.004;
  options.average = average;
  ASSERT_OK(fit(&f, options, &report, NULL, error));
  assert_int_equal(report.best_epoch, epochs);
  memcpy(head, tx_tail_head_weight(f.tail), 64 * CLASSES * sizeof(float));
  assert_true(held_out_loss(&f) == report.best_loss);
  close_fixture(&f);
}

static void test_the_average_of_the_weights(void **state) {
  (void)state;
  float want[64 * CLASSES] = {0}, head[64 * CLASSES]; /* the head starts at zero */
  for (int epochs = 1; epochs <= 3; epochs++) {
    head_after(epochs, 0, head);
    for (int i = 0; i < 64 * CLASSES; i++) want[i] = 0.75f * want[i] + 0.25f * head[i];
  }
  head_after(3, 0.75, head);
  assert_close(head, want, 64 * CLASSES, 1e-5, "the average");
}

/* Of rare labels little is seen, unless each is drawn as often as another. */
static void test_balanced_draws(void **state) {
  (void)state;
  double losses[2];
  for (int balanced = 0; balanced < 2; balanced++) {
    fixture f = open_fixture();
    fill_fixture(&f, 3);
    tx_fit_options options = plain_options();
    tx_fit_report report;
    int64_t width = f.train.width, kept = 0;
    for (int64_t i = 0; i < TRAIN; i++) { /* all of the first label, two of each other */
      if (f.labels[i] > 0 && i > 6) continue;
      memmove(f.train.rows + kept * width, f.train.rows + i * width, (size_t)width * sizeof(float));
      f.labels[kept++] = f.labels[i];
    }
    f.train.count = kept;
    options.balanced = balanced;
    options.batch = 4;
    options.epochs = 8;
    ASSERT_OK(fit(&f, options, &report, NULL, error));
    losses[balanced] = report.best_loss;
    f.train.count = TRAIN;
    close_fixture(&f);
  }
  if (losses[1] > losses[0] - 0.02) fail_msg("%g balanced, %g not", losses[1], losses[0]);
}

/* ---- no numbers -------------------------------------------------------- */

static void test_losses_that_are_no_number(void **state) {
  (void)state;
  fixture f = open_fixture();
  fill_fixture(&f, 1);
  tx_fit_options options = plain_options();
  tx_fit_report report;
  float before[64 * CLASSES];
  options.clip = 1;
  memcpy(before, tx_tail_head_weight(f.tail), sizeof before);
  f.train.rows[17 * 64 + 3] = NAN;
  options.batch = TRAIN;
  tx_error error = {0};
  assert_int_equal(fit(&f, options, &report, NULL, &error), TX_ERROR_INPUT);
  assert_string_equal(error.message,
                      "the loss is nan and the gradient's norm nan at step 1 (epoch 1), learning "
                      "rate 0.02; no weight was changed by it: try a smaller --lr, more --warm-up "
                      "or a smaller --clip");
  assert_memory_equal(before, tx_tail_head_weight(f.tail), sizeof before);
  f.train.rows[17 * 64 + 3] = 0;
  f.held_out.rows[3] = INFINITY;
  error = (tx_error){0};
  assert_int_equal(fit(&f, options, &report, NULL, &error), TX_ERROR_INPUT);
  assert_string_equal(error.message,
                      "the validation loss is nan before the first step; a weight of the model or "
                      "a text gives no number: try another model, or the texts in parts");
  /* large enough that the step makes it overflow, where the training texts do not */
  f.held_out.rows[3] = 3e38f;
  options.learning_rate = 10, options.clip = 0;
  error = (tx_error){0};
  assert_int_equal(fit(&f, options, &report, NULL, &error), TX_ERROR_INPUT);
  assert_string_equal(error.message,
                      "the validation loss is nan after step 1 (epoch 1), learning rate up to 10: "
                      "try a smaller --lr, more --warm-up or --clip 1");
  close_fixture(&f);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_schedule_factors),
      cmocka_unit_test(test_schedules_have_no_gap),
      cmocka_unit_test(test_patience_stops_and_the_start_is_kept),
      cmocka_unit_test(test_the_best_epoch_is_kept),
      cmocka_unit_test(test_one_seed_one_result),
      cmocka_unit_test(test_stopped_by_the_caller),
      cmocka_unit_test(test_class_weights),
      cmocka_unit_test(test_the_average_of_the_weights),
      cmocka_unit_test(test_balanced_draws),
      cmocka_unit_test(test_losses_that_are_no_number),
  };
  tx_set_threads(1);
  return cmocka_run_group_tests(tests, NULL, NULL);
}
