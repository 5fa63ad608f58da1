/* Learning to write: the last k blocks of a model, its output norm and its vocabulary.
 * Of each text some tokens are to be written, given those before them; the loss is
 * -log p of each, or, of pairs of texts, that one is to be preferred to the other
 * (direct preference optimisation: Rafailov et al., arXiv 2305.18290). */
#ifndef TX_ADAPT_LANGUAGE_H
#define TX_ADAPT_LANGUAGE_H

#include "adapt/learner.h"
#include "adapt/stack.h"

typedef struct tx_language_options {
  int64_t blocks; /* trained, of the last; from 1 */
  tx_trained_part part; /* TX_TRAINED_MODEL trains the vocabulary too */
  tx_adapter_options adapter; /* of TX_TRAINED_ADAPTERS */
  int64_t positions;  /* of TX_TRAINED_MODEL: learned ones that are trained */
  double layer_decay; /* as of tx_trained_options, and so are the next two */
  bool averaged;
  uint64_t packed;
  uint64_t activation_bytes; /* as of tx_stack */
} tx_language_options;

typedef struct tx_language tx_language;

/* Unless all is trained, the blocks are loaded in fp32 and stay so. */
tx_status tx_language_new(const tx_model *model, tx_language_options options,
                          tx_language **language, tx_error *error);
void tx_language_free(tx_language *language);
tx_parameters *tx_language_parameters(tx_language *language);

/* Texts, all borrowed.  `states` is what the trained blocks read of them, token by token. */
typedef struct tx_written {
  const tx_states *states;
  const int32_t *ids;     /* (tokens) */
  const uint8_t *written; /* (tokens): 1 where the token is to be written; at least one of each
                             text, never its first */
} tx_written;

/* nll (count of the choice): -log p of all that is written of each text, under the present
 * parameters; tokens (count): how many that are; right (count): how many of them have the
 * highest probability.  The last two may be NULL. */
tx_status tx_language_nll(tx_language *language, tx_pass *pass, const tx_written *texts,
                          tx_choice choice, double *nll, int64_t *tokens, int64_t *right,
                          const tx_watch *watch, tx_error *error);

/* What is learnt from, and judged on; all borrowed.  Alone, an example is a text, and it
 * counts as many times as it has tokens to write; accuracy is the share of those that have
 * the highest probability.  In pairs, example i is texts 2 i, which is preferred, and 2 i + 1;
 * accuracy is the share of pairs whose preferred text gained more. */
typedef struct tx_language_lesson {
  tx_language *language;
  tx_pass *pass;
  tx_written train, held_out;
  bool pairs;
  double beta; /* of pairs: how far the answers may leave those of the start; > 0 */
  const double *start, *held_out_start; /* of pairs: each text's nll before the first step */
} tx_language_lesson;

tx_learner tx_language_learner(tx_language_lesson *lesson); /* borrows it */

#endif
