/* The most probable token, again and again: many prompts at once over the slots of a
 * tx_decode, each answer as if it were alone.  What prompts and answers mean is left to
 * others. */
#ifndef TX_GENERATE_GREEDY_H
#define TX_GENERATE_GREEDY_H

#include "model/decode.h"

typedef struct tx_greedy_prompt {
  const int32_t *ids; /* (count), borrowed */
  int64_t count;      /* at least 1, and below the model's context */
} tx_greedy_prompt;

typedef struct tx_greedy_answer {
  int32_t *ids;  /* (count), new: tx_free; the token that stopped it included */
  int64_t count;
  bool stopped;
  double prefill_seconds, decode_seconds;
} tx_greedy_answer;

typedef struct tx_greedy_options {
  const int32_t *stops; /* (stop_count): tokens that end an answer */
  size_t stop_count;
  int64_t most;    /* tokens of an answer, from 1 */
  int64_t context; /* of the model */
} tx_greedy_options;

/* Of the highest logits the lowest id; NaN is below all. */
int32_t tx_greedy_token(const float *logits, int64_t vocabulary);

/* answers (count) are filled in the prompts' order; after a failure too they are to be freed. */
tx_status tx_greedy(tx_decode *decode, int64_t vocabulary, const tx_greedy_prompt *prompts,
                    int64_t count, tx_greedy_options options, tx_greedy_answer *answers,
                    const tx_watch *watch, tx_error *error);

#endif
