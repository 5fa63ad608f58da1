/* The scorer: texts to probabilities over labels.  Whatever makes one (a linear
 * model on words, a head, a fine-tuned model, a prompt, a cascade), the rooms
 * below see this and no more. */
#ifndef TX_SCORE_SCORER_H
#define TX_SCORE_SCORER_H

#include "base/error.h"

typedef struct tx_scorer tx_scorer;

struct tx_scorer {
  const char *name; /* "linear", "head", "last-block" */
  int labels;
  bool sigmoids; /* each label for itself: a row of probabilities does not sum to 1 */
  /* probabilities: (count, labels).  `scored` (may be NULL) is added to. */
  tx_status (*score)(tx_scorer *self, const tx_text *texts, size_t count, float *probabilities,
                     tx_scored *scored, const tx_watch *watch, tx_error *error);
  void (*free)(tx_scorer *self);
};

static inline void tx_scorer_free(tx_scorer *scorer) {
  if (scorer) scorer->free(scorer);
}

#endif
