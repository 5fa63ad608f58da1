/* The table of names: linear probing over XXH64. */
#include "formats/names.h"

#include <string.h>

#include "base/hash.h"
#include "base/memory.h"

enum { MAX_PROBES = 1024 }; /* chance needs a few dozen in a table that is half full */

bool tx_names_reserve(tx_names *names, size_t count) {
  size_t slots = 16;
  while (slots < 2 * count) slots *= 2;
  names->items = tx_alloc_array(count, sizeof *names->items);
  names->slots = tx_alloc_zero(slots, sizeof *names->slots);
  names->mask = slots - 1;
  /* The address differs from run to run, so that a file with many colliding
   * names cannot be prepared; no result depends on it. */
  names->seed = (uint64_t)(uintptr_t)names->slots;
  return names->items && names->slots;
}

/* The slot of `name`, or the empty one where it belongs; NULL after MAX_PROBES. */
static uint32_t *find_slot(const tx_names *names, tx_text name) {
  size_t slot = (size_t)tx_hash64(name.data, name.size, names->seed) & names->mask;
  for (int probe = 0; probe < MAX_PROBES; probe++, slot = (slot + 1) & names->mask) {
    uint32_t index = names->slots[slot];
    if (index == 0) return &names->slots[slot];
    tx_text item = names->items[index - 1];
    if (item.size == name.size && memcmp(item.data, name.data, name.size) == 0) {
      return &names->slots[slot];
    }
  }
  return NULL;
}

tx_names_result tx_names_add(tx_names *names, tx_text name) {
  uint32_t *slot = find_slot(names, name);
  if (!slot) return TX_NAMES_CROWDED;
  if (*slot != 0) return TX_NAMES_TWICE;
  names->items[names->count++] = name;
  *slot = (uint32_t)names->count;
  return TX_NAMES_ADDED;
}

bool tx_names_find(const tx_names *names, const char *name, size_t *index) {
  if (!names->slots) return false;
  const uint32_t *slot = find_slot(names, tx_text_of(name));
  if (!slot || *slot == 0) return false;
  *index = *slot - 1;
  return true;
}

void tx_names_free(tx_names *names) {
  tx_free(names->items);
  tx_free(names->slots);
  *names = (tx_names){0};
}
