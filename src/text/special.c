/* Special tokens: the spellings in byte order, narrowed by halves one byte of
 * the text at a time. */
#include "text/special.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

static int by_bytes(const void *a, const void *b) {
  const tx_text *left = &((const tx_special *)a)->spelling;
  const tx_text *right = &((const tx_special *)b)->spelling;
  size_t shorter = left->size < right->size ? left->size : right->size;
  int order = memcmp(left->data, right->data, shorter);
  if (order) return order;
  return (left->size > right->size) - (left->size < right->size);
}

void tx_specials_make(tx_specials *specials, tx_special *items, size_t count) {
  *specials = (tx_specials){.items = items, .count = count, .only_start = -1};
  if (!count) return;
  qsort(items, count, sizeof *items, by_bytes);
  for (size_t i = 0; i < count; i++)
    specials->starts[(unsigned char)*items[i].spelling.data] = true;
  if (*items[0].spelling.data == *items[count - 1].spelling.data) {
    specials->only_start = (unsigned char)*items[0].spelling.data;
  }
}

void tx_specials_free(tx_specials *specials) {
  tx_free(specials->items);
  *specials = (tx_specials){0};
}

/* The first of items [low, high), which agree before byte `depth` and are longer
 * than that, whose byte there is at least `byte`. */
static size_t first_from(const tx_special *items, size_t low, size_t high, size_t depth, int byte) {
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if ((unsigned char)items[middle].spelling.data[depth] < byte) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

static const tx_special *longest_at(const tx_specials *specials, const char *data, size_t size) {
  const tx_special *best = NULL;
  size_t low = 0, high = specials->count;
  for (size_t depth = 0; depth < size; depth++) {
    int byte = (unsigned char)data[depth];
    low = first_from(specials->items, low, high, depth, byte);
    high = first_from(specials->items, low, high, depth, byte + 1);
    if (low == high) break;
    if (specials->items[low].spelling.size == depth + 1) best = &specials->items[low++];
  }
  return best;
}

const tx_special *tx_specials_next(const tx_specials *specials, tx_text text, size_t from,
                                   size_t *at) {
  if (!specials->count) return NULL;
  for (size_t i = from; i < text.size; i++) {
    if (specials->only_start >= 0) {
      const char *found = memchr(text.data + i, specials->only_start, text.size - i);
      if (!found) return NULL;
      i = (size_t)(found - text.data);
    } else if (!specials->starts[(unsigned char)text.data[i]]) {
      continue;
    }
    const tx_special *special = longest_at(specials, text.data + i, text.size - i);
    if (special) {
      *at = i;
      return special;
    }
  }
  return NULL;
}
