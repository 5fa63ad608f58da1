/* Stretches of the key/value cache.  Each is one block of memory, (L) segments of one
 * capacity, which grows by half. */
#include "model/cache.h"

#include "base/memory.h"
#include "kernels/kernels.h"

struct tx_stretch {
  const tx_facts *facts; /* borrowed */
  const tx_stretch *parent;
  int64_t blocks, start, length, capacity;
  float *memory;
  uint64_t bytes;
};

tx_status tx_stretch_new(const tx_facts *facts, int64_t blocks, const tx_stretch *parent,
                         tx_stretch **stretch, tx_error *error) {
  *stretch = tx_alloc_zero(1, sizeof **stretch);
  if (!*stretch) return tx_fail_memory(error, sizeof **stretch, "a stretch of the cache");
  **stretch = (tx_stretch){.facts = facts, .parent = parent, .blocks = blocks};
  if (parent) (*stretch)->start = tx_stretch_end(parent);
  return TX_OK;
}

void tx_stretch_free(tx_stretch *stretch) {
  if (!stretch) return;
  tx_pages_free(stretch->memory, stretch->bytes);
  tx_free(stretch);
}

int64_t tx_stretch_length(const tx_stretch *stretch) { return stretch->length; }
int64_t tx_stretch_end(const tx_stretch *stretch) { return stretch->start + stretch->length; }
uint64_t tx_stretch_bytes(const tx_stretch *stretch) { return stretch->bytes; }
void tx_stretch_append(tx_stretch *stretch, int64_t tokens) { stretch->length += tokens; }
void tx_stretch_cut(tx_stretch *stretch, int64_t length) { stretch->length = length; }

static tx_segment segment_of(const tx_stretch *stretch, int64_t block) {
  tx_segment segment = {.start = stretch->start, .length = stretch->length};
  int64_t floats = (int64_t)tx_segment_floats(stretch->facts, stretch->capacity);
  tx_segment_place(stretch->facts, stretch->capacity, stretch->memory + block * floats, &segment);
  return segment;
}

tx_status tx_stretch_reserve(tx_stretch *stretch, int64_t tokens, tx_error *error) {
  int64_t needed = stretch->length + tokens, grown = stretch->capacity + stretch->capacity / 2;
  if (needed <= stretch->capacity) return TX_OK;
  tx_stretch larger = *stretch;
  larger.capacity = (needed > grown ? needed : grown) + TX_PANEL - 1;
  larger.capacity -= larger.capacity % TX_PANEL; /* keys take whole panels */
  uint64_t floats = tx_segment_floats(stretch->facts, larger.capacity), size = 0;
  bool fits = floats && tx_multiply(floats, (uint64_t)stretch->blocks * sizeof(float), &size);
  larger.bytes = size;
  larger.memory = fits ? tx_pages_alloc(size) : NULL;
  if (!larger.memory) return tx_fail_memory(error, size, "the key/value cache");
  for (int64_t block = 0; block < stretch->blocks && stretch->length > 0; block++) {
    tx_segment from = segment_of(stretch, block), to = segment_of(&larger, block);
    tx_segment_copy(stretch->facts, &from, stretch->length, &to);
  }
  tx_pages_free(stretch->memory, stretch->bytes);
  *stretch = larger;
  return TX_OK;
}

int64_t tx_stretch_links(const tx_stretch *stretch) {
  int64_t count = 0;
  for (; stretch; stretch = stretch->parent) count++;
  return count;
}

void tx_stretch_chain(const tx_stretch *stretch, int64_t block, tx_segment *segments) {
  int64_t at = tx_stretch_links(stretch), end = tx_stretch_end(stretch);
  for (; stretch; stretch = stretch->parent) { /* of a parent, what was there at the time */
    tx_segment segment = segment_of(stretch, block);
    segment.length = end - stretch->start;
    segments[--at] = segment;
    end = stretch->start;
  }
}
