/* What gradient steps are taken on (fit.h): numbered examples, the parameters, the
 * gradient of some of the examples, and how good the parameters are on what was held out.
 * tail.h makes one of labelled texts, language.h one of texts to be written. */
#ifndef TX_ADAPT_LEARNER_H
#define TX_ADAPT_LEARNER_H

#include "adapt/parameters.h"

typedef struct tx_learner {
  void *self; /* borrowed; what the functions are given */
  tx_parameters *parameters;
  const tx_kernels *kernels;
  int64_t examples;
  const int32_t *labels; /* (examples): for draws that balance them; NULL: there are none */
  /* What the example counts in a step's mean, above 0; its tokens. */
  double (*weight)(const void *self, int64_t example);
  int64_t (*tokens)(const void *self, int64_t example);
  /* Adds to the parameters' gradients those of the examples' (count) losses over `total`,
   * which is the weight of the whole step, and to `loss` their value.  Called for parts of
   * a step, the bits are those of the whole. */
  tx_status (*gradient)(void *self, const int64_t *examples, int64_t count, double total,
                        double *loss, tx_error *error);
  /* After the last part of a step, before its gradients are read; or NULL. */
  void (*finish)(void *self);
  /* On what was held out: the mean loss, and how many of the answers are right, 0..1. */
  tx_status (*judge)(void *self, double *loss, double *accuracy, const tx_watch *watch,
                     tx_error *error);
} tx_learner;

#endif
