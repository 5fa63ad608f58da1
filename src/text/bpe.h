/* Byte-pair merging on ids: the pair of the lowest rank first, the leftmost of
 * equals, until no neighbours are a pair.  Where the ids come from and what they
 * spell is left to tokenizer.c.
 * Source: Sennrich, Haddow and Birch 2016, as GPT-2 uses it. */
#ifndef TX_TEXT_BPE_H
#define TX_TEXT_BPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The ranked pairs; immutable once all are added. */
typedef struct tx_bpe tx_bpe;

tx_bpe *tx_bpe_new(size_t merges); /* room for this many, at most 2^24; NULL when out of memory */
void tx_bpe_free(tx_bpe *bpe);

/* Adds the pair of the next rank (0, 1, ...).  Returns that rank, or the earlier
 * rank of the same pair, which then stays alone.  SIZE_MAX, and nothing added,
 * when so many pairs share a place in the hash table that the ids must have been
 * chosen for it. */
size_t tx_bpe_add(tx_bpe *bpe, int32_t left, int32_t right, int32_t joined);

/* Memory for long words, kept from word to word; start with {0}. */
typedef struct tx_bpe_scratch {
  void *block;
  size_t size;
} tx_bpe_scratch;
void tx_bpe_scratch_free(tx_bpe_scratch *scratch);

/* Merges ids[0..count) in place and lowers *count, in time n log n and, for long
 * words, 32 bytes of scratch an id.  false when out of memory; ids are then
 * undefined.  count < 2^31. */
bool tx_bpe_merge(const tx_bpe *bpe, int32_t *ids, size_t *count, tx_bpe_scratch *scratch);

#endif
