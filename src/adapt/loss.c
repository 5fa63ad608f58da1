/* Softmax, sigmoids and the losses over them, in double. */
#include "adapt/loss.h"

#include <math.h>

#include "base/exact.h"

/* The softmax of a row of logits: its largest, and the sum of exp(logit - largest). */
static double softmax_sum(const float *logits, int classes, double *largest) {
  double top = (double)logits[0], sum = 0;
  for (int c = 1; c < classes; c++) top = (double)logits[c] > top ? (double)logits[c] : top;
  for (int c = 0; c < classes; c++) sum += tx_exp((double)logits[c] - top);
  *largest = top;
  return sum;
}

void tx_softmax(const float *logits, int64_t rows, int classes, float *probabilities) {
  for (int64_t i = 0; i < rows; i++) {
    const float *row = logits + i * classes;
    double top, sum = softmax_sum(row, classes, &top);
    for (int c = 0; c < classes; c++) {
      probabilities[i * classes + c] = (float)(tx_exp((double)row[c] - top) / sum);
    }
  }
}

double tx_sigmoid(double x) {
  double e = tx_exp(-fabs(x));
  return x >= 0 ? 1 / (1 + e) : e / (1 + e);
}

double tx_logistic_loss(double x) { return (x < 0 ? -x : 0) + tx_log(1 + tx_exp(-fabs(x))); }

void tx_sigmoids(const float *logits, int64_t count, float *probabilities) {
  for (int64_t i = 0; i < count; i++) probabilities[i] = (float)tx_sigmoid((double)logits[i]);
}

static double label_nll(const float *logits, int classes, int32_t label) {
  double top, sum = softmax_sum(logits, classes, &top);
  return top + tx_log(sum) - (double)logits[label];
}

/* How a text's loss and its gradient change with its focus. */
static void focus_on(double focus, double log_p, double *loss, double *slope) {
  double p = tx_exp(log_p), away = 1 - p;
  if (away <= 0) {
    *loss = *slope = 0;
    return;
  }
  *loss = tx_power(away, focus);
  *slope = *loss - focus * *loss / away * p * log_p;
}

static double label_backward(const tx_loss *o, float *row, int classes, int32_t label,
                             double weight) {
  double top, sum = softmax_sum(row, classes, &top), log_sum = top + tx_log(sum), all = 0;
  double share = o->smoothing / classes, right = 1 - o->smoothing, counts = 1, slope = 1;
  for (int c = 0; share > 0 && c < classes; c++) all += (double)row[c];
  double loss = log_sum - (right * (double)row[label] + share * all);
  if (o->focus > 0) focus_on(o->focus, (double)row[label] - log_sum, &counts, &slope);
  for (int c = 0; c < classes; c++) {
    double p = tx_exp((double)row[c] - top) / sum;
    row[c] = (float)(weight * slope * (p - share - (c == label ? right : 0)));
  }
  return weight * counts * loss;
}

static double marks_backward(const tx_loss *o, float *row, int classes, const uint8_t *marks,
                             double weight) {
  double loss = 0, each = weight / classes;
  for (int c = 0; c < classes; c++) {
    double x = (double)row[c], p = tx_sigmoid(x), counts = 1, slope = 1;
    double target = marks[c] ? 1 - o->smoothing / 2 : o->smoothing / 2;
    double nll = target * tx_logistic_loss(x) + (1 - target) * tx_logistic_loss(-x);
    if (o->focus > 0) focus_on(o->focus, -tx_logistic_loss(marks[c] ? x : -x), &counts, &slope);
    row[c] = (float)(each * slope * (p - target));
    loss += each * counts * nll;
  }
  return loss;
}

/* ---- either kind ------------------------------------------------------- */

static const uint8_t *marks_of(tx_truth truth, int classes, int64_t text) {
  return truth.marks + text * classes;
}

double tx_truth_loss(tx_truth truth, int64_t text, const float *logits, int classes) {
  if (truth.labels) return label_nll(logits, classes, truth.labels[text]);
  const uint8_t *marks = marks_of(truth, classes, text);
  double sum = 0;
  for (int c = 0; c < classes; c++) {
    sum += tx_logistic_loss((double)(marks[c] ? logits[c] : -logits[c]));
  }
  return sum / classes;
}

bool tx_truth_met(tx_truth truth, int64_t text, const float *logits, int classes) {
  if (truth.labels) {
    int32_t best = 0;
    for (int32_t c = 1; c < classes; c++) best = logits[c] > logits[best] ? c : best;
    return best == truth.labels[text];
  }
  const uint8_t *marks = marks_of(truth, classes, text);
  for (int c = 0; c < classes; c++) {
    if ((logits[c] > 0) != (marks[c] != 0)) return false;
  }
  return true;
}

double tx_truth_backward(tx_truth truth, int64_t text, const tx_loss *loss, float *row, int classes,
                         double weight) {
  if (truth.labels) return label_backward(loss, row, classes, truth.labels[text], weight);
  return marks_backward(loss, row, classes, marks_of(truth, classes, text), weight);
}

double tx_truth_weight(tx_truth truth, int64_t text) {
  return truth.labels && truth.weights ? truth.weights[truth.labels[text]] : 1;
}
