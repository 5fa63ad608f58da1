/* Answers against either kind of truth (adapt/loss.h): one label a text, where the most
 * probable label is the answer (metrics.h); or marks, where every label whose probability is
 * at least 0.5 is answered, and an answer is right when it has the very labels that hold. */
#ifndef TX_TRUST_ANSWERS_H
#define TX_TRUST_ANSWERS_H

#include "adapt/loss.h"
#include "trust/metrics.h"

/* As tx_metrics_compute() of one label a text.  Of marks: accuracy is the share of right
 * answers; F1 is over decisions, one for each label of each row; nll and brier are means over
 * a row's labels, brier 0..1; ece and the bins are over all decisions, their confidence being
 * the probability of what was decided; `confusion` is not written. */
void tx_answers_measure(const float *probabilities, tx_truth truth, int64_t rows, int labels,
                        tx_metrics *metrics, tx_label_counts *counts, int64_t *confusion);

/* Of one row of probabilities (labels), `row` being its number in the truth. */
bool tx_answer_right(const float *probabilities, tx_truth truth, int64_t row, int labels);
double tx_answer_loss(const float *probabilities, tx_truth truth, int64_t row, int labels);

/* Whether two rows of probabilities answer the same; of `sigmoids` each label for itself. */
bool tx_answers_same(const float *a, const float *b, bool sigmoids, int labels);

static inline bool tx_holds(float probability) { return probability >= 0.5f; }

#endif
