/* Accuracy, F1, likelihood, Brier score and calibration error in one or two
 * passes over the rows, in the order of the rows, without memory of its own. */
#include "trust/metrics.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "base/exact.h"

enum { LABEL_BLOCK = 256 };

int32_t tx_top_label(const float *probabilities, int labels) {
  int32_t top = 0;
  for (int32_t i = 1; i < labels; i++)
    if (probabilities[i] > probabilities[top] || isnan(probabilities[top])) top = i;
  return isnan(probabilities[top]) ? 0 : top;
}

/* NaN counts as 0; what lies outside [0, 1] as the nearer end. */
static double clean(float probability) {
  if (!(probability > 0)) return 0;
  return probability < 1 ? (double)probability : 1;
}

double tx_row_loss(float probability) {
  double of_truth = clean(probability);
  return -tx_log(of_truth > 0 ? of_truth : (double)FLT_TRUE_MIN);
}

/* As tx_top_label, but a row of nothing but NaN is an answer that is wrong. */
static int32_t predicted_label(const float *row, int labels, int32_t truth) {
  int32_t top = tx_top_label(row, labels);
  return isnan(row[top]) && top == truth && labels > 1 ? top + 1 : top;
}

static double squared_distance(const float *row, int labels, int32_t truth) {
  double sum = 0;
  for (int32_t i = 0; i < labels; i++) {
    double difference = clean(row[i]) - (i == truth);
    sum += difference * difference;
  }
  return sum;
}

static int confidence_bin(double confidence) {
  int bin = (int)ceil(confidence * TX_BINS) - 1;
  return bin < 0 ? 0 : bin >= TX_BINS ? TX_BINS - 1 : bin;
}

void tx_metrics_add_to_bin(tx_metrics *metrics, double confidence, bool right) {
  tx_bin *bin = &metrics->bins[confidence_bin(confidence)];
  bin->count++;
  bin->confidence += confidence;
  bin->accuracy += right;
}

void tx_metrics_finish_bins(tx_metrics *metrics, int64_t answers) {
  for (int i = 0; i < TX_BINS; i++) {
    tx_bin *bin = &metrics->bins[i];
    if (bin->count == 0) continue;
    metrics->ece += fabs(bin->confidence - bin->accuracy) / (double)answers;
    bin->confidence /= (double)bin->count;
    bin->accuracy /= (double)bin->count;
  }
}

/* Counts of `size` labels from `first` on. */
static void count_labels(const float *probabilities, const int32_t *truth, int64_t rows, int labels,
                         int32_t first, int32_t size, tx_label_counts *counts) {
  memset(counts, 0, (size_t)size * sizeof *counts);
  for (int64_t i = 0; i < rows; i++) {
    int32_t top = predicted_label(probabilities + i * labels, labels, truth[i]);
    int32_t true_at = truth[i] - first, top_at = top - first;
    if (true_at >= 0 && true_at < size) counts[true_at].support++;
    if (top_at >= 0 && top_at < size) {
      counts[top_at].predicted++;
      if (top == truth[i]) counts[top_at].correct++;
    }
  }
}

/* Over blocks of labels, so that no memory is needed for however many there are. */
static double macro_f1(const float *probabilities, const int32_t *truth, int64_t rows, int labels,
                       tx_label_counts *all) {
  tx_label_counts block[LABEL_BLOCK];
  double sum = 0;
  int64_t occurring = 0;
  for (int32_t first = 0; first < labels; first += LABEL_BLOCK) {
    int32_t size = labels - first < LABEL_BLOCK ? labels - first : LABEL_BLOCK;
    count_labels(probabilities, truth, rows, labels, first, size, block);
    for (int32_t i = 0; i < size; i++) {
      if (block[i].support == 0 && block[i].predicted == 0) continue;
      sum += tx_f1(block[i]);
      occurring++;
    }
    if (all) memcpy(all + first, block, (size_t)size * sizeof *block);
  }
  return occurring ? sum / (double)occurring : 0;
}

void tx_metrics_compute(const float *probabilities, const int32_t *truth, int64_t rows, int labels,
                        tx_metrics *metrics, tx_label_counts *counts, int64_t *confusion) {
  *metrics = (tx_metrics){.rows = rows};
  if (confusion) memset(confusion, 0, (size_t)labels * (size_t)labels * sizeof *confusion);
  for (int64_t i = 0; i < rows; i++) {
    const float *row = probabilities + i * labels;
    int32_t top = predicted_label(row, labels, truth[i]);
    double confidence = clean(row[top]);
    bool correct = top == truth[i];
    metrics->correct += correct;
    metrics->nll += tx_row_loss(row[truth[i]]);
    metrics->brier += squared_distance(row, labels, truth[i]);
    tx_metrics_add_to_bin(metrics, confidence, correct);
    if (confusion) confusion[truth[i] * (int64_t)labels + top]++;
  }
  metrics->macro_f1 = macro_f1(probabilities, truth, rows, labels, counts);
  if (rows == 0) return;
  double n = (double)rows;
  tx_metrics_finish_bins(metrics, rows);
  metrics->accuracy = metrics->micro_f1 = (double)metrics->correct / n;
  metrics->nll /= n;
  metrics->brier /= n;
}

static double ratio(int64_t part, int64_t whole) {
  return whole > 0 ? (double)part / (double)whole : 0;
}

double tx_label_precision(tx_label_counts counts) {
  return ratio(counts.correct, counts.predicted);
}
double tx_recall(tx_label_counts counts) { return ratio(counts.correct, counts.support); }
double tx_f1(tx_label_counts counts) {
  return ratio(2 * counts.correct, counts.support + counts.predicted);
}
