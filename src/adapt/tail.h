/* The trainable end of a network: the last k blocks (k may be 0), the output
 * norm, pooling, and a head.  Its input is what the frozen trunk left
 * (states.h).  Forward, loss and gradient; steps are taken by fit.h. */
#ifndef TX_ADAPT_TAIL_H
#define TX_ADAPT_TAIL_H

#include "adapt/learner.h"
#include "adapt/loss.h"
#include "adapt/stack.h"

typedef struct tx_tail tx_tail;

/* The network is cut after `depth` blocks, of which the last k = `blocks` are run
 * here and trained (trained.h says what of them).  With k = 0 there is no norm and no
 * pooling: the states are pooled features, one row a text. */
typedef struct tx_tail_options {
  int64_t depth, blocks;
  tx_pooling pooling;
  int classes;
  tx_trained_part part;
  tx_adapter_options adapter;
  const int32_t *ids; /* of TX_TRAINED_MODEL: as of tx_trained_options, and the next two */
  int64_t id_count, positions;
  tx_loss loss;       /* of tx_tail_gradient() */
  double layer_decay; /* as of tx_trained_options, and so is the next */
  bool averaged;
  uint64_t activation_bytes; /* as of tx_stack */
  uint64_t packed; /* as of tx_trained_options */
} tx_tail_options;

/* The head is zero.  Unless all is trained, the blocks are loaded in fp32 and stay so. */
tx_status tx_tail_new(const tx_model *model, tx_tail_options options, tx_tail **tail,
                      tx_error *error);
void tx_tail_free(tx_tail *tail);
tx_parameters *tx_tail_parameters(tx_tail *tail);

/* F of what follows: tx_pool_parts() times C. */
int64_t tx_tail_width(const tx_tail *tail);

/* weight (classes, F) and bias (classes), copied in. */
void tx_tail_set_head(tx_tail *tail, const float *weight, const float *bias);
const float *tx_tail_head_weight(const tx_tail *tail);
const float *tx_tail_head_bias(const tx_tail *tail);

/* features (count, F) under the present parameters. */
tx_status tx_tail_features(tx_tail *tail, tx_pass *pass, const tx_states *states, tx_choice choice,
                           float *features, const tx_watch *watch, tx_error *error);

/* The mean over the texts of weight * loss, and how many are met (loss.h). */
tx_status tx_tail_loss(tx_tail *tail, tx_pass *pass, const tx_states *states, tx_choice choice,
                       tx_truth truth, double *loss, int64_t *correct, const tx_watch *watch,
                       tx_error *error);

/* Adds to the parameters' gradients those of
 *   sum over the texts of weight * loss / total
 * and to `loss` its value.  Called for parts of a step with one `total`, the
 * gradients are the same bits as for the whole.  dstates (T, C) of the chosen
 * texts, or NULL. */
tx_status tx_tail_gradient(tx_tail *tail, tx_pass *pass, const tx_states *states, tx_choice choice,
                           tx_truth truth, double total, double *loss, float *dstates,
                           tx_error *error);

/* What a tail learns from, and what it is judged on, unweighted; all borrowed. */
typedef struct tx_tail_lesson {
  tx_tail *tail;
  tx_pass *pass;
  const tx_states *train, *held_out;
  tx_truth truth, held_out_truth;
} tx_tail_lesson;

tx_learner tx_tail_learner(tx_tail_lesson *lesson); /* borrows it */

#endif
