/* What costly fits came to, kept in the cache on disk (formats/cache.h) for a later
 * run: the same fit to the same numbers is looked up instead of made again.  A key
 * is made of everything that decides the result, so a hit is what the fit would
 * give, to the bit; what a key is made of is said where it is made.
 *
 * It costs no answer: what cannot be read is computed, what cannot be written is
 * noted.  A NULL memo finds nothing and keeps nothing. */
#ifndef TX_ADAPT_MEMO_H
#define TX_ADAPT_MEMO_H

#include "formats/cache.h"

typedef struct tx_memo tx_memo;

/* Over the cache in `directory`, of at most `bound` bytes, which is opened only while it is
 * read or written.  NULL where there is no memory for it.  What was kept is written,
 * as one segment, by tx_memo_write and on closing; to make room for it nothing goes
 * that was used since the memo was opened: sooner it goes itself. */
tx_memo *tx_memo_open(const char *directory, uint64_t bound);
void tx_memo_write(tx_memo *memo, const tx_watch *watch); /* NULL is allowed */
void tx_memo_close(tx_memo *memo, const tx_watch *watch);

/* A key begins with the fit's name and grows by its inputs, in a fixed order.  The
 * name carries a number, which rises when the arithmetic of the fit changes, or of what
 * it is made of: "head 1" and "linear 1" (logistic.c, folds.c), "depth 1" (ridge.c,
 * standard.c, folds.c). */
tx_cache_key tx_memo_key(const char *name);
void tx_memo_add(tx_cache_key *key, const void *data, uint64_t bytes);

typedef struct tx_memo_part { /* a result is some arrays, one after another */
  void *data;
  uint64_t bytes;
} tx_memo_part;

/* Fills in the parts of a result of that size; false: there is none, and no part was touched.
 * A result beyond the bound is not kept. */
bool tx_memo_recall(tx_memo *memo, tx_cache_key key, const tx_memo_part *parts, int count);
void tx_memo_keep(tx_memo *memo, tx_cache_key key, const tx_memo_part *parts, int count);

#endif
