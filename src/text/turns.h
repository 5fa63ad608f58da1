/* Turns of a conversation as the tokens that a model reads, and which of them are answers. */
#ifndef TX_TEXT_TURNS_H
#define TX_TEXT_TURNS_H

#include "base/buffer.h"
#include "text/tokenizer.h"

typedef struct tx_turn { /* borrowed */
  tx_text role;    /* "system", "user", "assistant" */
  tx_text content;
  tx_text input;   /* of a user, what the instruction is about; may be empty */
} tx_turn;

bool tx_turn_is(const tx_turn *turn, const char *role);

typedef enum tx_turn_style {
  TX_TURNS_ALPACA, /* "### Instruction:", "### Input:", "### Response:" */
  TX_TURNS_CHATML, /* <|im_start|>role ... <|im_end|> */
} tx_turn_style;

/* TX_ERROR_ARGUMENT where the vocabulary lacks what the style ends an answer with. */
tx_status tx_turns_check(tx_turn_style style, const tx_tokenizer *tokenizer, const char *model,
                         tx_error *error);

/* Appends the tokens, and a byte each: 1 in answers and what ends them.  `open`: up to where an
 * answer is to begin.  Control tokens that a turn spells stay text. */
tx_status tx_turns_encode(tx_turn_style style, const tx_tokenizer *tokenizer, const tx_turn *turns,
                          size_t count, bool open, tx_ids *ids, tx_buffer *answers,
                          tx_error *error);

#endif
