/* What a label set's trained end is worth on the validation rows. */
#include "tasks/label_set_parts.h"

#include <inttypes.h>

#include "adapt/loss.h"
#include "base/watch.h"
#include "kernels/product.h"
#include "trust/answers.h"
#include "trust/comparison.h"

tx_status tx_label_set_score(tx_training *t, const tx_label_set *set, const tx_states *states,
                             float *probabilities, tx_error *error) {
  tx_tail *tail = set->tail;
  int64_t width = tx_tail_width(tail), classes = set->split.classes;
  int64_t count = states->count;
  float *features = tx_alloc_array((size_t)(count * (width + classes)), sizeof(float));
  float *head = tx_alloc_array(tx_packed_size(width, classes), sizeof(float));
  tx_status status = features && head ? TX_OK : tx_fail_memory(error, (uint64_t)count, "scores");
  tx_choice all = {NULL, 0};
  if (status == TX_OK) {
    status = tx_tail_features(tail, &t->pass, states, all, features, t->watch, error);
  }
  if (status == TX_OK) {
    float *logits = features + count * width;
    tx_pack(tx_tail_head_weight(tail), 1, width, width, classes, head);
    tx_product product = {.kernels = t->pass.kernels,
                          .rows = count,
                          .depth = width,
                          .columns = classes,
                          .x = features,
                          .x_row = width,
                          .x_step = 1,
                          .panels = head,
                          .bias = tx_tail_head_bias(tail),
                          .y = logits,
                          .y_row = classes};
    tx_product_run(&product);
    if (set->split.validation.marks) {
      tx_sigmoids(logits, count * classes, probabilities);
    } else {
      tx_softmax(logits, count, (int)classes, probabilities);
    }
  }
  tx_free(features), tx_free(head);
  return status;
}

tx_status tx_label_set_measure_training(tx_training *t, tx_label_set *set, tx_error *error) {
  const tx_labelled *rows = &set->split.train;
  size_t floats = (size_t)(rows->count * set->split.classes);
  float *probabilities = tx_alloc_array(floats, sizeof *probabilities);
  if (!probabilities) return tx_fail_memory(error, floats * 4, "scores");
  tx_status status = tx_label_set_score(t, set, &set->train.states, probabilities, error);
  if (status == TX_OK) {
    tx_metrics metrics;
    tx_answers_measure(probabilities, tx_labelled_truth(rows), rows->count, set->split.classes,
                       &metrics, NULL, NULL);
    set->train_accuracy = metrics.accuracy;
  }
  tx_free(probabilities);
  return status;
}

void tx_label_set_take_scores(tx_label_set *set, const float *probabilities) {
  const tx_labelled *rows = &set->split.validation;
  tx_metrics metrics;
  tx_answers_measure(probabilities, tx_labelled_truth(rows), rows->count, set->split.classes,
                     &metrics, NULL, NULL);
  tx_interval interval = tx_wilson(metrics.correct, rows->count);
  set->val_accuracy = metrics.accuracy;
  set->val_lo = interval.lo, set->val_hi = interval.hi;
  set->val_macro_f1 = metrics.macro_f1, set->val_micro_f1 = metrics.micro_f1;
  set->val_nll = metrics.nll;
}

/* Even if every error of the head went, six rows are the fewest from which a
 * paired test (McNemar's, two-sided) sees a difference: 2 / 2^6 is below 0.05. */
enum { FEWEST_ERRORS = 6 };

bool tx_label_set_worth_trying(const tx_training *t, const tx_label_set *set, const float *head) {
  const tx_labelled *rows = &set->split.validation;
  tx_metrics metrics;
  tx_answers_measure(head, tx_labelled_truth(rows), rows->count, set->split.classes, &metrics, NULL,
                     NULL);
  int64_t errors = rows->count - metrics.correct;
  if (errors >= FEWEST_ERRORS) return true;
  tx_watch_note(t->watch,
                "last block: not trained, the head errs on %" PRId64 " of %" PRId64
                " validation texts, too few to see a gain in",
                errors, rows->count);
  return false;
}

tx_status tx_label_set_better(const tx_training *t, const tx_label_set *set, const char *what,
                              const float *new, const float *old, double level, bool *better,
                              tx_error *error) {
  const tx_labelled *rows = &set->split.validation;
  int classes = set->split.classes;
  double *gains = tx_alloc_array((size_t)rows->count, sizeof *gains);
  if (!gains) return tx_fail_memory(error, (uint64_t)rows->count * 8, "the comparison");
  tx_metrics of_new, of_old;
  tx_truth truth = tx_labelled_truth(rows);
  tx_answers_measure(new, truth, rows->count, classes, &of_new, NULL, NULL);
  tx_answers_measure(old, truth, rows->count, classes, &of_old, NULL, NULL);
  for (int64_t i = 0; i < rows->count; i++) {
    gains[i] = tx_answer_loss(old + i * classes, truth, i, classes) -
               tx_answer_loss(new + i * classes, truth, i, classes);
  }
  double p = tx_mean_above_zero(gains, rows->count);
  tx_free(gains);
  *better = p < level && of_new.correct >= of_old.correct;
  tx_watch_note(t->watch,
                "%s: validation loss %.4f, accuracy %.4f; without %.4f, %.4f; p %.2g: %s", what,
                of_new.nll, of_new.accuracy, of_old.nll, of_old.accuracy, p,
                *better ? "kept" : "not kept");
  return TX_OK;
}

void tx_label_set_compare_int8(const tx_training *t, const tx_label_set *set, const float *bytes,
                               bool *accepted) {
  const tx_labelled *rows = &set->split.validation;
  int classes = set->split.classes;
  tx_truth truth = tx_labelled_truth(rows);
  int64_t changed = 0, right[2] = {0, 0};
  for (int64_t i = 0; i < rows->count; i++) {
    const float *before = set->scores + i * classes, *after = bytes + i * classes;
    changed += !tx_answers_same(before, after, truth.marks != NULL, classes);
    right[0] += tx_answer_right(before, truth, i, classes);
    right[1] += tx_answer_right(after, truth, i, classes);
  }
  double points = 100 * (double)(right[0] - right[1]) / (double)rows->count;
  *accepted = points <= TX_TOLERANCE;
  tx_watch_note(t->watch,
                "int8: %" PRId64 " of %" PRId64
                " answers to validation texts change, %+.2f points of accuracy: %s",
                changed, rows->count, right[0] == right[1] ? 0 : -points,
                *accepted ? "kept" : "not kept");
}
