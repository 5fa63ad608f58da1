/* Byte-pair merging: a hash table of pairs, and two ways to run it.  Short words
 * scan all ranks for each merge; long ones keep the pairs in a heap and the
 * symbols in a linked list.  Both take the same merges in the same order. */
#include "text/bpe.h"

#include <string.h>

#include "base/memory.h"

enum {
  SHORT_WORD = 40,
  MAX_PROBES = 1024, /* far beyond chance; a file made to collide is not searched for ever */
};
static const uint32_t NO_RANK = UINT32_MAX;
static const uint64_t EMPTY = UINT64_MAX;

typedef struct pair {
  uint64_t key; /* left << 32 | right, or EMPTY */
  uint32_t rank;
} pair;

struct tx_bpe {
  pair *pairs; /* (mask + 1), at most half full, probed in line */
  uint64_t mask;
  int shift;       /* the slot is the hash's top bits */
  int32_t *joined; /* (capacity), by rank */
  size_t count, capacity;
};

tx_bpe *tx_bpe_new(size_t merges) {
  tx_bpe *bpe = tx_alloc_zero(1, sizeof *bpe);
  if (!bpe) return NULL;
  int bits = 4;
  while (((size_t)1 << bits) < merges * 2) bits++;
  size_t slots = (size_t)1 << bits;
  bpe->mask = slots - 1;
  bpe->shift = 64 - bits;
  bpe->capacity = merges;
  bpe->pairs = tx_alloc_array(slots, sizeof *bpe->pairs);
  bpe->joined = tx_alloc_array(merges, sizeof *bpe->joined);
  if (!bpe->pairs || !bpe->joined) {
    tx_bpe_free(bpe);
    return NULL;
  }
  for (size_t i = 0; i < slots; i++) bpe->pairs[i].key = EMPTY;
  return bpe;
}

void tx_bpe_free(tx_bpe *bpe) {
  if (!bpe) return;
  tx_free(bpe->pairs);
  tx_free(bpe->joined);
  tx_free(bpe);
}

static uint64_t key_of(int32_t left, int32_t right) {
  return (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
}

/* The pair's slot, or the empty one where it would stand; NULL when neither is
 * near its place. */
static pair *pair_slot(const tx_bpe *bpe, uint64_t key) {
  uint64_t hash = (key ^ key >> 32) * UINT64_C(0xD6E8FEB86659FD93);
  hash = (hash ^ hash >> 32) * UINT64_C(0x9E3779B97F4A7C15);
  uint64_t slot = hash >> bpe->shift;
  for (int probe = 0; probe < MAX_PROBES; probe++) {
    pair *found = &bpe->pairs[slot];
    if (found->key == key || found->key == EMPTY) return found;
    slot = (slot + 1) & bpe->mask;
  }
  return NULL;
}

size_t tx_bpe_add(tx_bpe *bpe, int32_t left, int32_t right, int32_t joined) {
  uint64_t key = key_of(left, right);
  pair *slot = pair_slot(bpe, key);
  if (!slot) return SIZE_MAX;
  if (slot->key != EMPTY) return slot->rank;
  *slot = (pair){key, (uint32_t)bpe->count};
  bpe->joined[bpe->count] = joined;
  return bpe->count++;
}

static uint32_t rank_of(const tx_bpe *bpe, int32_t left, int32_t right) {
  const pair *found = pair_slot(bpe, key_of(left, right));
  return found && found->key != EMPTY ? found->rank : NO_RANK;
}

/* ranks[i] is that of the pair (ids[i], ids[i + 1]). */
static size_t merge_short(const tx_bpe *bpe, int32_t *ids, size_t count) {
  uint32_t ranks[SHORT_WORD];
  for (size_t i = 0; i + 1 < count; i++) ranks[i] = rank_of(bpe, ids[i], ids[i + 1]);
  while (count > 1) {
    size_t best = 0;
    for (size_t i = 1; i + 1 < count; i++) best = ranks[i] < ranks[best] ? i : best;
    if (ranks[best] == NO_RANK) break;
    ids[best] = bpe->joined[ranks[best]];
    count--;
    for (size_t i = best + 1; i < count; i++) {
      ids[i] = ids[i + 1];
      ranks[i - 1] = ranks[i];
    }
    if (best > 0) ranks[best - 1] = rank_of(bpe, ids[best - 1], ids[best]);
    if (best + 1 < count) ranks[best] = rank_of(bpe, ids[best], ids[best + 1]);
  }
  return count;
}

typedef struct symbol {      /* a node of the linked list, at its first byte's place */
  int32_t id, before, after; /* -1: none */
  uint32_t rank;             /* of the pair with `after`; NO_RANK once merged away */
} symbol;

/* A binary heap of rank << 32 | place, smallest on top: the order of merging.
 * An entry is out of date when its symbol has another rank by now. */
typedef struct heap {
  uint64_t *items;
  size_t count;
} heap;

static void heap_sink(heap *queue, size_t at) {
  uint64_t item = queue->items[at];
  for (size_t child = 2 * at + 1; child < queue->count; child = 2 * at + 1) {
    if (child + 1 < queue->count && queue->items[child + 1] < queue->items[child]) child++;
    if (queue->items[child] >= item) break;
    queue->items[at] = queue->items[child];
    at = child;
  }
  queue->items[at] = item;
}

static void heap_push(heap *queue, uint64_t item) {
  size_t at = queue->count++;
  while (at > 0 && queue->items[(at - 1) / 2] > item) {
    queue->items[at] = queue->items[(at - 1) / 2];
    at = (at - 1) / 2;
  }
  queue->items[at] = item;
}

static uint64_t heap_pop(heap *queue) {
  uint64_t top = queue->items[0];
  queue->items[0] = queue->items[--queue->count];
  if (queue->count) heap_sink(queue, 0);
  return top;
}

/* Looks the pair at `place` up anew and queues it. */
static void pair_again(const tx_bpe *bpe, symbol *symbols, int32_t place, heap *queue) {
  symbol *first = &symbols[place];
  first->rank = first->after < 0 ? NO_RANK : rank_of(bpe, first->id, symbols[first->after].id);
  if (first->rank != NO_RANK) heap_push(queue, (uint64_t)first->rank << 32 | (uint32_t)place);
}

static void merge_at(const tx_bpe *bpe, symbol *symbols, int32_t place, heap *queue) {
  symbol *first = &symbols[place], *second = &symbols[first->after];
  first->id = bpe->joined[first->rank];
  first->after = second->after;
  second->rank = NO_RANK;
  if (first->after >= 0) symbols[first->after].before = place;
  pair_again(bpe, symbols, place, queue);
  if (first->before >= 0) pair_again(bpe, symbols, first->before, queue);
}

static size_t merge_long(const tx_bpe *bpe, int32_t *ids, size_t count, symbol *symbols,
                         heap *queue) {
  for (size_t i = 0; i < count; i++) {
    int32_t place = (int32_t)i;
    uint32_t rank = i + 1 < count ? rank_of(bpe, ids[i], ids[i + 1]) : NO_RANK;
    symbols[i] = (symbol){ids[i], place - 1, i + 1 < count ? place + 1 : -1, rank};
    if (rank != NO_RANK) queue->items[queue->count++] = (uint64_t)rank << 32 | (uint32_t)place;
  }
  for (size_t i = queue->count / 2; i-- > 0;) heap_sink(queue, i);
  while (queue->count) {
    uint64_t item = heap_pop(queue);
    int32_t place = (int32_t)(item & UINT32_MAX);
    if (symbols[place].rank == item >> 32) merge_at(bpe, symbols, place, queue);
  }
  size_t left = 0;
  for (int32_t at = 0; at >= 0; at = symbols[at].after) ids[left++] = symbols[at].id;
  return left;
}

bool tx_bpe_merge(const tx_bpe *bpe, int32_t *ids, size_t *count, tx_bpe_scratch *scratch) {
  if (*count <= SHORT_WORD) {
    *count = merge_short(bpe, ids, *count);
    return true;
  }
  /* One entry for each pair at first; each merge takes one out and puts at most
   * two in, and there are fewer than `count` merges. */
  size_t each = sizeof(symbol) + 2 * sizeof(uint64_t);
  if (scratch->size / each < *count) {
    void *block = tx_alloc_array(*count, each);
    if (!block) return false;
    tx_free(scratch->block);
    *scratch = (tx_bpe_scratch){block, *count * each};
  }
  heap queue = {scratch->block, 0};
  symbol *symbols = (symbol *)(void *)(queue.items + 2 * *count);
  *count = merge_long(bpe, ids, *count, symbols, &queue);
  return true;
}

void tx_bpe_scratch_free(tx_bpe_scratch *scratch) {
  tx_free(scratch->block);
  *scratch = (tx_bpe_scratch){0};
}
