/* What is true of texts, and the loss of logits against it: one label each by softmax, or
 * (multi-label) every label for itself by a sigmoid. */
#ifndef TX_ADAPT_LOSS_H
#define TX_ADAPT_LOSS_H

#include <stdbool.h>
#include <stdint.h>

/* One of the first two is there; all are borrowed. */
typedef struct tx_truth {
  const int32_t *labels; /* (texts): the label of each */
  const uint8_t *marks;  /* (texts, classes): 1 where the label holds */
  const double *weights; /* (classes): what a text of that label counts; NULL: 1.  Of labels */
} tx_truth;

/* What a step makes smaller than -log p(label), each 0 where it is not used; not both.
 * smoothing: the label's share of the target is 1 - smoothing, the rest is spread evenly over
 * all labels, of a sigmoid over yes and no (Szegedy et al., arXiv 1512.00567).  focus: a text
 * counts (1 - p(label))^focus (the focal loss: Lin et al., arXiv 1708.02002). */
typedef struct tx_loss {
  double smoothing; /* 0 <= smoothing < 1 */
  double focus;     /* >= 0 */
} tx_loss;

double tx_truth_weight(tx_truth truth, int64_t text);

/* -log p of what is true, unweighted; of marks the mean over the labels. */
double tx_truth_loss(tx_truth truth, int64_t text, const float *logits, int classes);

/* Whether the label has the highest logit; of marks whether each label's logit is above 0
 * where it holds, and not where it does not. */
bool tx_truth_met(tx_truth truth, int64_t text, const float *logits, int classes);

/* A row of logits (classes) becomes the gradient of weight * loss, which is returned. */
double tx_truth_backward(tx_truth truth, int64_t text, const tx_loss *loss, float *row, int classes,
                         double weight);

double tx_sigmoid(double x);       /* 1 / (1 + exp(-x)) */
double tx_logistic_loss(double x); /* -log of it */

/* probabilities (rows, classes) from logits. */
void tx_softmax(const float *logits, int64_t rows, int classes, float *probabilities);
void tx_sigmoids(const float *logits, int64_t count, float *probabilities);

#endif
