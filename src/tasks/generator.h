/* What stands behind the public tx_generator, and conversations answered by it. */
#ifndef TX_TASKS_GENERATOR_H
#define TX_TASKS_GENERATOR_H

#include "formats/tuned.h"
#include "model/decode.h"
#include "text/chat.h"

enum { TX_GENERATOR_STOPS = 4 };

struct tx_generator {
  tx_gguf *artifact; /* NULL: a model alone */
  tx_tuned_facts facts;
  tx_model *model;
  tx_tokenizer *tokenizer;
  tx_decode *decode;
  tx_chat *chat; /* NULL: prompts as they stand */
  int32_t stops[TX_GENERATOR_STOPS]; /* (stop_count) */
  size_t stop_count;
};

typedef struct tx_conversation { /* whose next turn is the assistant's; borrowed */
  const tx_chat_message *turns;  /* (count) */
  size_t count;
  int64_t line; /* of `file`, for messages; 0: it has none */
} tx_conversation;

/* tx_generate() of whole conversations. */
tx_status tx_generator_answer(tx_generator *generator, const tx_conversation *conversations,
                              size_t count, const char *file, int64_t max_new, tx_answers *answers,
                              const tx_watch *watch, tx_error *error);

#endif
