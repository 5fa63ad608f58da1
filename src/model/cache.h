/* The key/value cache: keys and values, in all blocks, of a stretch of tokens that
 * has been run, so that what comes after it costs its own tokens only.
 *
 * A stretch may go on where another one ends: a prefix that many share is run once.
 * The answers are the same bits as without a cache. */
#ifndef TX_MODEL_CACHE_H
#define TX_MODEL_CACHE_H

#include "model/batch.h"
#include "model/segment.h"

/* New and empty, of `blocks` blocks.  It goes on where `parent` (borrowed, may be
 * NULL) ends now: the parent may grow on, but not be cut below that, and outlives it. */
tx_status tx_stretch_new(const tx_facts *facts, int64_t blocks, const tx_stretch *parent,
                         tx_stretch **stretch, tx_error *error);
void tx_stretch_free(tx_stretch *stretch); /* NULL is allowed */

/* Tokens of its own, and the position of the next one: those of its parents are before. */
int64_t tx_stretch_length(const tx_stretch *stretch);
int64_t tx_stretch_end(const tx_stretch *stretch);
uint64_t tx_stretch_bytes(const tx_stretch *stretch);

/* Room for `tokens` more. */
tx_status tx_stretch_reserve(tx_stretch *stretch, int64_t tokens, tx_error *error);

/* A pass writes the keys and values of new tokens block by block, as tx_batch.past
 * says; they count when all blocks have run and this is called. */
void tx_stretch_append(tx_stretch *stretch, int64_t tokens);

/* Forgets all tokens of its own but the first `length`. */
void tx_stretch_cut(tx_stretch *stretch, int64_t length);

/* How many stretches it is, with its parents; and their segments in a block, in rising
 * order, the last one its own. */
int64_t tx_stretch_links(const tx_stretch *stretch);
void tx_stretch_chain(const tx_stretch *stretch, int64_t block, tx_segment *segments);

#endif
