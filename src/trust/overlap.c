/* Counting by sorting: a run of n symbols is the pair of the run of n - 1 that it
 * begins with and its last symbol; both have numbers, so that the pair is one number. */
#include "trust/overlap.h"

#include <stdlib.h>

#include "base/memory.h"

bool tx_symbols_add(tx_symbols *symbols, uint32_t symbol) {
  if (symbols->count == symbols->capacity) {
    size_t capacity = symbols->capacity ? symbols->capacity * 2 : 256;
    uint64_t bytes;
    if (!tx_multiply(capacity, sizeof symbol, &bytes)) return false;
    uint32_t *grown = tx_resize(symbols->items, bytes);
    if (!grown) return false;
    symbols->items = grown;
    symbols->capacity = capacity;
  }
  symbols->items[symbols->count++] = symbol;
  return true;
}

void tx_symbols_free(tx_symbols *symbols) {
  tx_free(symbols->items);
  *symbols = (tx_symbols){0};
}

typedef struct run {
  uint64_t key;
  size_t at;
} run;

static int by_key(const void *a, const void *b) {
  uint64_t left = ((const run *)a)->key, right = ((const run *)b)->key;
  return (left > right) - (left < right);
}

/* Numbers the runs by their keys and counts those of each side. */
static void count_runs(run *runs, size_t count, size_t left, uint32_t *numbers,
                       tx_overlap *overlap) {
  qsort(runs, count, sizeof *runs, by_key);
  uint32_t number = 0;
  for (size_t i = 0, end; i < count; i = end, number++) {
    int64_t on_left = 0, on_right = 0;
    for (end = i; end < count && runs[end].key == runs[i].key; end++) {
      *(runs[end].at < left ? &on_left : &on_right) += 1;
      numbers[runs[end].at] = number;
    }
    overlap->left += on_left;
    overlap->right += on_right;
    overlap->both += on_left < on_right ? on_left : on_right;
  }
}

tx_status tx_overlap_add(const tx_symbols *symbols, size_t left, int orders, tx_overlap *overlaps,
                         tx_error *error) {
  size_t count = symbols->count;
  run *runs = tx_alloc_array(count, sizeof *runs);
  uint32_t *numbers = tx_alloc_zero(count, sizeof *numbers);
  if (!runs || !numbers) {
    tx_free(runs);
    tx_free(numbers);
    return tx_fail_memory(error, count * (sizeof *runs + sizeof *numbers), "comparing two texts");
  }
  for (size_t n = 1; n <= (size_t)orders; n++) {
    size_t found = 0;
    for (size_t i = 0; i < count; i++) {
      size_t end = i < left ? left : count;
      if (end - i < n) continue;
      uint64_t key = (uint64_t)numbers[i] << 32 | symbols->items[i + n - 1];
      runs[found++] = (run){key, i};
    }
    count_runs(runs, found, left, numbers, &overlaps[n - 1]);
  }
  tx_free(runs);
  tx_free(numbers);
  return TX_OK;
}
