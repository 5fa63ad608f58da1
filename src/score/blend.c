/* The blend of two scorers, in the order of the texts. */
#include "score/blend.h"

#include <float.h>

#include "adapt/loss.h"
#include "base/exact.h"
#include "base/memory.h"

enum { TEXTS_AT_A_TIME = 1024 };

typedef struct {
  tx_scorer scorer;
  tx_scorer *first, *second;
  double share;
} blend;

static double log_of(float probability) {
  return tx_log(probability > 0 ? (double)probability : (double)FLT_TRUE_MIN);
}

void tx_blend(float *first, const float *second, int64_t rows, int labels, double share) {
  for (int64_t i = 0; i < rows; i++) {
    float *a = first + i * labels;
    const float *b = second + i * labels;
    double top = -DBL_MAX, sum = 0;
    for (int c = 0; c < labels; c++) {
      double both = (1 - share) * log_of(a[c]) + share * log_of(b[c]);
      top = both > top ? both : top;
    }
    /* Twice the logarithms instead of memory for them. */
    for (int c = 0; c < labels; c++) {
      sum += tx_exp((1 - share) * log_of(a[c]) + share * log_of(b[c]) - top);
    }
    for (int c = 0; c < labels; c++) {
      a[c] = (float)(tx_exp((1 - share) * log_of(a[c]) + share * log_of(b[c]) - top) / sum);
    }
  }
}

void tx_blend_sigmoids(float *first, const float *second, int64_t rows, int labels, double share) {
  for (int64_t i = 0; i < rows * labels; i++) {
    double yes = (1 - share) * log_of(first[i]) + share * log_of(second[i]);
    double no = (1 - share) * log_of(1 - first[i]) + share * log_of(1 - second[i]);
    first[i] = (float)tx_sigmoid(yes - no);
  }
}

static tx_status blend_score(tx_scorer *self, const tx_text *texts, size_t count,
                             float *probabilities, tx_scored *scored, const tx_watch *watch,
                             tx_error *error) {
  blend *b = (blend *)self;
  size_t labels = (size_t)self->labels, most = count < TEXTS_AT_A_TIME ? count : TEXTS_AT_A_TIME;
  TX_TRY(b->first->score(b->first, texts, count, probabilities, scored, watch, error));
  float *second = tx_alloc_array(most * labels, sizeof *second);
  if (!second) return tx_fail_memory(error, most * labels * sizeof *second, "scores");
  tx_status status = TX_OK;
  for (size_t from = 0; status == TX_OK && from < count; from += most) {
    size_t part = count - from < most ? count - from : most;
    status = b->second->score(b->second, texts + from, part, second, NULL, NULL, error);
    if (status == TX_OK) {
      (self->sigmoids ? tx_blend_sigmoids : tx_blend)(probabilities + from * labels, second,
                                                      (int64_t)part, self->labels, b->share);
    }
  }
  tx_free(second);
  return status;
}

static void blend_free(tx_scorer *self) {
  blend *b = (blend *)self;
  tx_scorer_free(b->first);
  tx_scorer_free(b->second);
  tx_free(b);
}

tx_status tx_blend_new(tx_scorer *first, tx_scorer *second, double share, tx_scorer **scorer,
                       tx_error *error) {
  blend *made = tx_alloc_zero(1, sizeof *made);
  *scorer = NULL;
  if (!made) {
    tx_scorer_free(first);
    tx_scorer_free(second);
    return tx_fail_memory(error, sizeof *made, "a scorer");
  }
  made->scorer = (tx_scorer){.name = "blend",
                             .labels = first->labels,
                             .sigmoids = first->sigmoids,
                             .score = blend_score,
                             .free = blend_free};
  made->first = first, made->second = second, made->share = share;
  *scorer = &made->scorer;
  return TX_OK;
}
