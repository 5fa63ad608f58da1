/* Measures of answers of any number of labels, in the order of the rows. */
#include "trust/answers.h"

#include <math.h>

static const uint8_t *marks_of(tx_truth truth, int64_t row, int labels) {
  return truth.marks + row * labels;
}

/* The probability of what is true of a label; NaN stays. */
static float of_truth(float probability, uint8_t mark) {
  return mark ? probability : 1 - probability;
}

bool tx_answer_right(const float *probabilities, tx_truth truth, int64_t row, int labels) {
  if (truth.labels) return tx_top_label(probabilities, labels) == truth.labels[row];
  const uint8_t *marks = marks_of(truth, row, labels);
  for (int c = 0; c < labels; c++) {
    if (tx_holds(probabilities[c]) != (marks[c] != 0)) return false;
  }
  return true;
}

double tx_answer_loss(const float *probabilities, tx_truth truth, int64_t row, int labels) {
  if (truth.labels) return tx_row_loss(probabilities[truth.labels[row]]);
  const uint8_t *marks = marks_of(truth, row, labels);
  double sum = 0;
  for (int c = 0; c < labels; c++) sum += tx_row_loss(of_truth(probabilities[c], marks[c]));
  return sum / labels;
}

bool tx_answers_same(const float *a, const float *b, bool sigmoids, int labels) {
  if (!sigmoids) return tx_top_label(a, labels) == tx_top_label(b, labels);
  for (int c = 0; c < labels; c++) {
    if (tx_holds(a[c]) != tx_holds(b[c])) return false;
  }
  return true;
}

/* ---- of marks ---------------------------------------------------------- */

/* One decision: its squared error, and its place among the bins. */
static void add_decision(float probability, uint8_t mark, double share, tx_metrics *metrics) {
  bool holds = tx_holds(probability);
  double clean = probability > 0 ? fmin((double)probability, 1) : 0;
  double away = clean - (mark ? 1 : 0);
  metrics->brier += share * away * away;
  tx_metrics_add_to_bin(metrics, holds ? clean : 1 - clean, holds == (mark != 0));
}

/* The counts of one label, over all rows. */
static tx_label_counts count_label(const float *probabilities, tx_truth truth, int64_t rows,
                                   int labels, int label) {
  tx_label_counts counts = {0};
  for (int64_t i = 0; i < rows; i++) {
    bool mark = marks_of(truth, i, labels)[label] != 0;
    bool holds = tx_holds(probabilities[i * labels + label]);
    counts.support += mark, counts.predicted += holds, counts.correct += mark && holds;
  }
  return counts;
}

/* F1 over all decisions, and its mean over the labels that occur. */
static void measure_labels(const float *probabilities, tx_truth truth, int64_t rows, int labels,
                           tx_metrics *metrics, tx_label_counts *all) {
  tx_label_counts sum = {0};
  double f1 = 0;
  int64_t occurring = 0;
  for (int c = 0; c < labels; c++) {
    tx_label_counts counts = count_label(probabilities, truth, rows, labels, c);
    sum.support += counts.support, sum.predicted += counts.predicted;
    sum.correct += counts.correct;
    f1 += tx_f1(counts);
    occurring += counts.support > 0 || counts.predicted > 0;
    if (all) all[c] = counts;
  }
  metrics->micro_f1 = tx_f1(sum);
  metrics->macro_f1 = occurring ? f1 / (double)occurring : 0;
}

void tx_answers_measure(const float *probabilities, tx_truth truth, int64_t rows, int labels,
                        tx_metrics *metrics, tx_label_counts *counts, int64_t *confusion) {
  if (truth.labels) {
    tx_metrics_compute(probabilities, truth.labels, rows, labels, metrics, counts, confusion);
    return;
  }
  *metrics = (tx_metrics){.rows = rows};
  double share = rows > 0 ? 1 / ((double)rows * labels) : 0;
  for (int64_t i = 0; i < rows; i++) {
    const float *row = probabilities + i * labels;
    metrics->correct += tx_answer_right(row, truth, i, labels);
    metrics->nll += tx_answer_loss(row, truth, i, labels);
    const uint8_t *marks = marks_of(truth, i, labels);
    for (int c = 0; c < labels; c++) add_decision(row[c], marks[c], share, metrics);
  }
  measure_labels(probabilities, truth, rows, labels, metrics, counts);
  if (rows == 0) return;
  tx_metrics_finish_bins(metrics, rows * labels);
  metrics->accuracy = (double)metrics->correct / (double)rows;
  metrics->nll /= (double)rows;
}
