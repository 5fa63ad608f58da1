/* Finding a text in an array of texts by its bytes.  What the texts are is left
 * to tokenizer.c. */
#ifndef TX_TEXT_LEXICON_H
#define TX_TEXT_LEXICON_H

#include "base/error.h"

typedef struct tx_lexicon_slot {
  uint32_t tag; /* bits of the hash that the slot's place does not tell */
  int32_t id;   /* an index of texts, or -1: empty */
} tx_lexicon_slot;

typedef struct tx_lexicon {
  const tx_text *texts;   /* borrowed */
  tx_lexicon_slot *slots; /* (mask + 1), at most half full, probed in line */
  uint64_t mask;
} tx_lexicon;

/* Room for `count` < 2^31 of the texts; false when out of memory. */
bool tx_lexicon_make(tx_lexicon *lexicon, const tx_text *texts, size_t count);
void tx_lexicon_free(tx_lexicon *lexicon);

/* Adds texts[id].  Returns id, or that of the same text added before; -1, and
 * nothing added, when so many texts share a place that they must have been chosen
 * for it. */
int32_t tx_lexicon_add(tx_lexicon *lexicon, int32_t id);
int32_t tx_lexicon_find(const tx_lexicon *lexicon, tx_text text); /* -1: none */

#endif
