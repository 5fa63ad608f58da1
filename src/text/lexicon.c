/* A hash table of indices, by XXH64. */
#include "text/lexicon.h"

#include <string.h>

#include "base/hash.h"
#include "base/memory.h"

enum { MAX_PROBES = 1024 }; /* far beyond chance */

bool tx_lexicon_make(tx_lexicon *lexicon, const tx_text *texts, size_t count) {
  size_t slots = 16;
  while (slots < count * 2) slots *= 2;
  *lexicon = (tx_lexicon){texts, tx_alloc_array(slots, sizeof(tx_lexicon_slot)), slots - 1};
  if (!lexicon->slots) return false;
  for (size_t i = 0; i < slots; i++) lexicon->slots[i].id = -1;
  return true;
}

void tx_lexicon_free(tx_lexicon *lexicon) {
  tx_free(lexicon->slots);
  *lexicon = (tx_lexicon){0};
}

static bool same(tx_text a, tx_text b) {
  return a.size == b.size && (!a.size || !memcmp(a.data, b.data, a.size));
}

/* The text's slot, or the empty one where it would stand; NULL when neither is
 * near its place. */
static tx_lexicon_slot *slot_of(const tx_lexicon *lexicon, tx_text text, uint32_t *tag) {
  uint64_t hash = tx_hash64(text.data, text.size, 0);
  *tag = (uint32_t)(hash >> 32);
  for (uint64_t probe = 0; probe < MAX_PROBES; probe++) {
    tx_lexicon_slot *slot = &lexicon->slots[(hash + probe) & lexicon->mask];
    if (slot->id < 0) return slot;
    if (slot->tag == *tag && same(lexicon->texts[slot->id], text)) return slot;
  }
  return NULL;
}

int32_t tx_lexicon_add(tx_lexicon *lexicon, int32_t id) {
  uint32_t tag;
  tx_lexicon_slot *slot = slot_of(lexicon, lexicon->texts[id], &tag);
  if (!slot) return -1;
  if (slot->id < 0) *slot = (tx_lexicon_slot){tag, id};
  return slot->id;
}

int32_t tx_lexicon_find(const tx_lexicon *lexicon, tx_text text) {
  uint32_t tag;
  const tx_lexicon_slot *slot = slot_of(lexicon, text, &tag);
  return slot ? slot->id : -1;
}
