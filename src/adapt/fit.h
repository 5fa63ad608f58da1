/* Gradient training of a learner (learner.h): epochs of AdamW over shuffled batches,
 * warm-up and schedule, clipping, the best epoch by validation loss.  What the examples
 * are is left to the learner. */
#ifndef TX_ADAPT_FIT_H
#define TX_ADAPT_FIT_H

#include "adapt/checkpoint.h"
#include "adapt/learner.h"
#include "taxon.h"

typedef struct tx_fit_step {
  int64_t step, epoch; /* from 1 */
  double loss, learning_rate, gradient_norm, seconds;
  int64_t tokens, count;
  const int64_t *examples; /* (count), in their order; borrowed */
} tx_fit_step;

/* What happened, as it happens; a failure stops the training. */
typedef struct tx_fit_log {
  void *context;
  /* Before the first step, step -1; or of a run that goes on after `step`, in `epoch`, which
   * is not judged yet. */
  tx_status (*start)(void *context, int64_t step, int64_t epoch, tx_error *error);
  tx_status (*step)(void *context, const tx_fit_step *step, tx_error *error);
  /* `step`: the last one before it; epoch 0 and step 0: before the first. */
  tx_status (*epoch)(void *context, int64_t step, int64_t epoch, double training_loss,
                     double validation_loss, double accuracy, tx_error *error);
} tx_fit_log;

typedef struct tx_fit_options {
  int epochs, batch, accumulate, patience; /* as in tx_train_options */
  int64_t batch_tokens; /* > 0: a batch is not of so many examples, but of so many tokens */
  double learning_rate, weight_decay, warm_up, clip;
  int64_t max_steps; /* it ends after so many, judged then; 0: after the epochs */
  double average; /* decay of the weights' average, which is what is judged and kept, 0..1; 0: none;
                     the parameters are averaged then */
  bool balanced;  /* an epoch's examples are drawn, each label as often as another, with repeats */
  tx_schedule schedule;
  uint64_t seed;
  tx_checkpoint *checkpoint; /* written on the way, and where it was resumed gone on from; or
                                NULL */
  const tx_fit_log *log;     /* or NULL */
} tx_fit_options;

typedef struct tx_fit_report {
  int epochs;     /* run */
  int best_epoch; /* whose parameters the learner holds now; 0: as it came */
  double best_loss;
  double last_loss; /* as it was judged last */
} tx_fit_report;

/* The factor of the learning rate at a step, counted from 0. */
double tx_schedule_factor(tx_schedule schedule, double warm_up, int64_t step, int64_t steps);

/* NaN or infinity stops with TX_ERROR_INPUT before any weight changes; the
 * message has the step, the learning rate and what to try. */
tx_status tx_fit(const tx_learner *learner, tx_fit_options options, tx_fit_report *report,
                 const tx_watch *watch, tx_error *error);

#endif
