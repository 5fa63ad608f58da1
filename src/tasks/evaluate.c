/* tx_evaluate: a classifier against a labelled table, beside its baselines. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/memory.h"
#include "formats/table.h"
#include "score/linear.h"
#include "tasks/classifier.h"
#include "tasks/evaluate_paths.h"
#include "trust/answers.h"
#include "trust/comparison.h"

enum { LINES_KEPT = 1000 };

typedef struct {
  tx_classifier *classifier;
  tx_dataset *table;
  tx_truth truth; /* of its rows */
  tx_scorer *linear;
  size_t head;
  int labels;
  float *probabilities, *linear_probabilities; /* (rows, labels) */
  tx_arena *arena;                             /* of the evaluation */
  tx_evaluation *out;
  const tx_watch *watch;
  tx_error *error;
} job;

static tx_status read_table(job *j, const char *data, tx_table_options options) {
  tx_dataset known = {.names = j->classifier->labels[j->head], .classes = j->labels};
  char separator[2];
  TX_TRY(tx_classifier_table(j->classifier, separator, &options, j->error));
  TX_TRY(tx_dataset_read(data, options, &known, &j->table, j->error));
  tx_dataset_note(j->table, data, j->watch);
  j->truth = (tx_truth){j->table->marks ? NULL : j->table->labels, j->table->marks, NULL};
  if (j->table->rows > 0) return TX_OK;
  return tx_fail(j->error, TX_ERROR_INPUT, "%s has no rows; give at least one to evaluate on",
                 data);
}

static tx_status score_rows(job *j) {
  size_t rows = (size_t)j->table->rows;
  j->probabilities = tx_alloc_array(rows * (size_t)j->labels, sizeof(float));
  j->linear_probabilities = tx_alloc_array(rows * (size_t)j->labels, sizeof(float));
  if (!j->probabilities || !j->linear_probabilities) {
    return tx_fail_memory(j->error, rows * (size_t)j->labels * 8, "the scores");
  }
  double start = tx_seconds();
  TX_TRY(tx_classifier_predict(j->classifier, j->table->texts, rows, j->probabilities,
                               &j->out->scored, j->watch, j->error));
  j->out->seconds = tx_seconds() - start;
  j->out->precision = tx_classifier_precision(j->classifier);
  if (j->out->seconds > 0) {
    j->out->texts_per_second = (double)rows / j->out->seconds;
    j->out->tokens_per_second = (double)j->out->scored.tokens / j->out->seconds;
  }
  TX_TRY(tx_linear_load(j->classifier->artifact, j->head, j->labels, &j->linear, j->error));
  return j->linear->score(j->linear, j->table->texts, rows, j->linear_probabilities, NULL, j->watch,
                          j->error);
}

static tx_status measure(job *j) {
  tx_evaluation *out = j->out;
  size_t labels = (size_t)j->labels;
  tx_label_counts *counts = tx_arena_array(j->arena, labels, sizeof *counts);
  out->labels = tx_arena_array(j->arena, labels, sizeof *out->labels);
  size_t square = j->truth.marks ? 0 : labels * labels;
  out->multi_label = j->truth.marks != NULL;
  if (square > 0) out->confusion = tx_arena_array(j->arena, square, sizeof *out->confusion);
  if (!counts || !out->labels || (square > 0 && !out->confusion)) {
    return tx_fail_memory(j->error, labels * labels * 8, "the confusion matrix");
  }
  tx_metrics metrics;
  tx_answers_measure(j->probabilities, j->truth, j->table->rows, j->labels, &metrics, counts,
                     out->confusion);
  tx_interval interval = tx_wilson(metrics.correct, metrics.rows);
  out->n = metrics.rows;
  out->accuracy = metrics.accuracy, out->accuracy_lo = interval.lo, out->accuracy_hi = interval.hi;
  out->macro_f1 = metrics.macro_f1, out->micro_f1 = metrics.micro_f1;
  out->nll = metrics.nll;
  out->brier = metrics.brier, out->ece = metrics.ece;
  memcpy(out->bins, metrics.bins, sizeof out->bins);
  out->label_count = labels;
  for (size_t i = 0; i < labels; i++) {
    const char *name = j->classifier->labels[j->head][i];
    out->labels[i] = (tx_label_score){.name = tx_arena_string(j->arena, name, strlen(name)),
                                      .precision = tx_label_precision(counts[i]),
                                      .recall = tx_recall(counts[i]),
                                      .f1 = tx_f1(counts[i]),
                                      .support = counts[i].support,
                                      .predicted = counts[i].predicted};
    if (!out->labels[i].name) return tx_fail_memory(j->error, 64, "a label");
  }
  return TX_OK;
}

/* The classifier beside a baseline, which is right about row i where `right[i]`. */
static tx_baseline_score compare(const job *j, const bool *right) {
  int64_t both = 0, only_a = 0, only_b = 0, neither = 0;
  for (int64_t i = 0; i < j->table->rows; i++) {
    bool a = tx_answer_right(j->probabilities + i * j->labels, j->truth, i, j->labels);
    bool b = right[i];
    both += a && b, only_a += a && !b, only_b += !a && b, neither += !a && !b;
  }
  double rows = (double)j->table->rows;
  tx_interval interval = tx_paired_difference(both, only_a, only_b, neither);
  return (tx_baseline_score){.accuracy = (double)(both + only_b) / rows,
                             .difference = (double)(only_a - only_b) / rows,
                             .difference_lo = interval.lo,
                             .difference_hi = interval.hi,
                             .only_classifier_right = only_a,
                             .only_baseline_right = only_b,
                             .p_value = tx_mcnemar(only_a, only_b)};
}

static bool majority_is_right(const job *j, int64_t row) {
  const tx_artifact_facts *facts = &j->classifier->facts[j->head];
  if (!j->truth.marks) return facts->majority_label == j->truth.labels[row];
  const uint8_t *marks = j->truth.marks + row * j->labels;
  size_t met = 0; /* of the most frequent labels, which rise as all labels do */
  for (int c = 0; c < j->labels; c++) {
    bool answered = met < facts->majority_count &&
                    facts->majority_labels[met].size == facts->labels[c].size &&
                    memcmp(facts->majority_labels[met].data, facts->labels[c].data,
                           facts->labels[c].size) == 0;
    if (answered != (marks[c] != 0)) return false;
    met += answered;
  }
  return true;
}

static tx_status compare_baselines(job *j) {
  bool *right = tx_alloc_array((size_t)j->table->rows, sizeof *right);
  if (!right) return tx_fail_memory(j->error, (uint64_t)j->table->rows, "the baselines");
  for (int64_t i = 0; i < j->table->rows; i++) right[i] = majority_is_right(j, i);
  j->out->majority = compare(j, right);
  for (int64_t i = 0; i < j->table->rows; i++) {
    right[i] = tx_answer_right(j->linear_probabilities + i * j->labels, j->truth, i, j->labels);
  }
  j->out->linear = compare(j, right);
  tx_free(right);
  return TX_OK;
}

static bool holds(const uint64_t *rising, int64_t count, uint64_t value) {
  int64_t low = 0, high = count;
  while (low < high) {
    int64_t middle = low + (high - low) / 2;
    if (rising[middle] < value) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low < count && rising[low] == value;
}

static tx_status find_seen(job *j) {
  const uint64_t *fingerprints;
  int64_t count;
  tx_artifact_fingerprints(j->classifier->artifact, j->head, &fingerprints, &count);
  j->out->seen_lines = tx_arena_array(j->arena, LINES_KEPT, sizeof *j->out->seen_lines);
  if (!j->out->seen_lines) return tx_fail_memory(j->error, LINES_KEPT * 8, "lines");
  for (int64_t i = 0; i < j->table->rows; i++) {
    if (!holds(fingerprints, count, j->table->hashes[i])) continue;
    if (j->out->seen_in_training < LINES_KEPT) {
      j->out->seen_lines[j->out->seen_in_training] = j->table->lines[i];
    }
    j->out->seen_in_training++;
  }
  return TX_OK;
}

static tx_status run(job *j, const char *data, tx_table_options options) {
  if (!j->arena) return tx_fail_memory(j->error, 64, "an evaluation");
  TX_TRY(read_table(j, data, options));
  TX_TRY(score_rows(j));
  TX_TRY(measure(j));
  TX_TRY(compare_baselines(j));
  TX_TRY(tx_evaluate_paths(j->classifier, j->table, j->probabilities, j->arena, j->out, j->error));
  return find_seen(j);
}

tx_status tx_evaluate(tx_classifier *classifier, const char *data, tx_table_options table,
                      tx_evaluation *evaluation, const tx_watch *watch, tx_error *error) {
  *evaluation = (tx_evaluation){0};
  job j = {.classifier = classifier,
           .head = classifier->chosen,
           .labels = (int)classifier->facts[classifier->chosen].label_count,
           .arena = tx_arena_new(),
           .out = evaluation,
           .watch = watch,
           .error = error};
  tx_status status = run(&j, data, table);
  tx_free(j.probabilities);
  tx_free(j.linear_probabilities);
  tx_scorer_free(j.linear);
  tx_dataset_free(j.table);
  evaluation->owned = j.arena;
  evaluation->peak_rss_bytes = tx_peak_memory();
  if (status != TX_OK) tx_evaluation_free(evaluation);
  return status;
}

void tx_evaluation_free(tx_evaluation *evaluation) {
  tx_arena_free(evaluation->owned);
  *evaluation = (tx_evaluation){0};
}
