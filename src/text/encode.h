/* Texts to the sequences a model reads: every text has at least one token and
 * at most a given number, longer ones are cut at the end. */
#ifndef TX_TEXT_ENCODE_H
#define TX_TEXT_ENCODE_H

#include "text/tokenizer.h"

typedef struct tx_encoded {
  int64_t count;
  int64_t *offsets; /* (count + 1) */
  int32_t *ids;     /* (offsets[count]) */
  int64_t cut;      /* texts that were longer */
} tx_encoded;

typedef struct tx_encoding {
  int64_t max_tokens;
  int64_t pad_to; /* shorter texts are filled up at their end to so many tokens, with the padding
                     token of the vocabulary, else its end-of-text token, else token 0: to show what
                     padding does; 0: none is */
} tx_encoding;

/* A text without a token (the empty one) is the vocabulary's beginning-of-text
 * token, or its end-of-text token, or token 0.  Control tokens spelled in a text
 * stay text. */
tx_status tx_encode(const tx_tokenizer *tokenizer, const tx_text *texts, int64_t count,
                    tx_encoding how, tx_encoded *encoded, tx_error *error);
void tx_encoded_free(tx_encoded *encoded);

#endif
