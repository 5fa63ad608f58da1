/* Finding the spellings of special tokens in a text: the leftmost, and of those
 * that start there the longest.  Which tokens are special is left to
 * tokenizer.c. */
#ifndef TX_TEXT_SPECIAL_H
#define TX_TEXT_SPECIAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "taxon.h"

/* A longer spelling would make the search quadratic, and no model has one. */
enum { TX_SPECIAL_LONGEST = 1024 };

typedef struct tx_special {
  tx_text spelling; /* 1 to TX_SPECIAL_LONGEST bytes, borrowed */
  int32_t id;
  bool on_request; /* parsed only where the caller wants it; tokenizer.c sees to that */
} tx_special;

typedef struct tx_specials {
  tx_special *items; /* (count), in byte order, all different; owned */
  size_t count;
  bool starts[256]; /* first bytes of spellings */
  int only_start;   /* the one first byte of all, or -1 */
} tx_specials;

/* Takes `items` (from tx_alloc; in any order), sorts and prepares them. */
void tx_specials_make(tx_specials *specials, tx_special *items, size_t count);
void tx_specials_free(tx_specials *specials);

/* The first special token at or after `from`, or NULL; *at is where it starts. */
const tx_special *tx_specials_next(const tx_specials *specials, tx_text text, size_t from,
                                   size_t *at);

#endif
