/* The trainable end of a network: the last k blocks (k may be 0), the output
 * norm, pooling, and a head.  Its input is what the frozen trunk left
 * (states.h).  Forward, loss and gradient; steps are taken by train.h. */
#ifndef TX_ADAPT_TAIL_H
#define TX_ADAPT_TAIL_H

#include "adapt/parameters.h"
#include "adapt/states.h"
#include "model/trunk.h"

typedef struct tx_tail tx_tail;

/* The network is cut after `depth` blocks, of which the last k = `blocks` are
 * trained.  With k = 0 there is no norm and no pooling: the states are pooled
 * features, one row a text.  The blocks' weights come from the model's file
 * (they need not be loaded); the head is zero. */
tx_status tx_tail_new(const tx_model *model, int64_t depth, int64_t blocks, tx_pooling pooling,
                      int classes, tx_tail **tail, tx_error *error);
void tx_tail_free(tx_tail *tail);
tx_parameters *tx_tail_parameters(tx_tail *tail);

/* F of what follows: tx_pool_parts() times C. */
int64_t tx_tail_width(const tx_tail *tail);

/* weight (classes, F) and bias (classes), copied in. */
void tx_tail_set_head(tx_tail *tail, const float *weight, const float *bias);
const float *tx_tail_head_weight(const tx_tail *tail);
const float *tx_tail_head_bias(const tx_tail *tail);

/* Some texts of `states`, by number; NULL: all, in order. */
typedef struct tx_choice {
  const int64_t *texts;
  int64_t count;
} tx_choice;

/* features (count, F) under the present parameters. */
tx_status tx_tail_features(tx_tail *tail, tx_pass *pass, const tx_states *states, tx_choice choice,
                           float *features, const tx_watch *watch, tx_error *error);

/* The mean over the texts of weight * -log p(label), weights by class (NULL: 1). */
tx_status tx_tail_loss(tx_tail *tail, tx_pass *pass, const tx_states *states, tx_choice choice,
                       const int32_t *labels, const double *class_weights, double *loss,
                       int64_t *correct, const tx_watch *watch, tx_error *error);

/* Adds to the parameters' gradients those of
 *   sum over the texts of class_weight * -log p(label) / total
 * and to `loss` its value.  Called for parts of a step with one `total`, the
 * gradients are the same bits as for the whole.  dstates (T, C) of the chosen
 * texts, or NULL. */
tx_status tx_tail_gradient(tx_tail *tail, tx_pass *pass, const tx_states *states, tx_choice choice,
                           const int32_t *labels, const double *class_weights, double total,
                           double *loss, float *dstates, tx_error *error);

/* probabilities (rows, classes) from logits by softmax, in double. */
void tx_softmax(const float *logits, int64_t rows, int classes, float *probabilities);

#endif
