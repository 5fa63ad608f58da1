/* Words as mteval-v13a cuts them, which is how BLEU scores are compared. */
#ifndef TX_TRUST_MTEVAL_H
#define TX_TRUST_MTEVAL_H

#include "base/buffer.h"
#include "base/error.h"

typedef struct tx_mteval {
  tx_buffer text, spare; /* reused from text to text */
} tx_mteval;
void tx_mteval_free(tx_mteval *mteval);

/* *spaced is the text with white space between its words; borrowed until the next call. */
tx_status tx_mteval_space(tx_mteval *mteval, tx_text text, tx_text *spaced, tx_error *error);

/* Cuts the first word off *text; false where there is none. */
bool tx_mteval_next(tx_text *text, tx_text *word);

#endif
