/* Gradient training of a tail (tail.h): epochs of AdamW over shuffled batches,
 * warm-up and schedule, clipping, the best epoch by validation loss.  Where the
 * states and labels come from is left to the caller. */
#ifndef TX_ADAPT_FIT_H
#define TX_ADAPT_FIT_H

#include "adapt/tail.h"

typedef struct tx_fit_options {
  int epochs, batch, accumulate, patience; /* as in tx_train_options */
  double learning_rate, weight_decay, warm_up, clip;
  tx_schedule schedule;
  const double *class_weights; /* (classes) or NULL */
  uint64_t seed;
} tx_fit_options;

typedef struct tx_fit_report {
  int epochs;     /* run */
  int best_epoch; /* whose parameters the tail holds now; 0: as it came */
  double best_loss;
} tx_fit_report;

/* The factor of the learning rate at a step, counted from 0. */
double tx_schedule_factor(tx_schedule schedule, double warm_up, int64_t step, int64_t steps);

/* NaN or infinity stops with TX_ERROR_INPUT before any weight changes; the
 * message has the step, the learning rate and what to try. */
tx_status tx_fit(tx_tail *tail, tx_pass *pass, const tx_states *train, const int32_t *labels,
                 const tx_states *validation, const int32_t *validation_labels,
                 tx_fit_options options, tx_fit_report *report, const tx_watch *watch,
                 tx_error *error);

#endif
