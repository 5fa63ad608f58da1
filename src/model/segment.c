/* The layout of packed keys and values.  Keys stand before values, so that reading
 * whole vectors past the end of the last key stays within the memory. */
#include "model/segment.h"

#include <string.h>

#include "base/memory.h"
#include "kernels/kernels.h"

/* Up to whole panels. */
static int64_t whole(int64_t columns) { return (columns + TX_PANEL - 1) / TX_PANEL * TX_PANEL; }

uint64_t tx_segment_floats(const tx_facts *facts, int64_t capacity) {
  uint64_t keys, values, floats, tokens = (uint64_t)capacity, heads = (uint64_t)facts->kv_heads;
  bool fits = capacity <= INT64_MAX - TX_PANEL &&
              tx_multiply((uint64_t)whole(capacity), (uint64_t)facts->head_size, &keys) &&
              tx_multiply(tokens, (uint64_t)whole(facts->head_size), &values) &&
              tx_add(keys, values, &floats) && tx_multiply(floats, heads, &floats);
  return fits ? floats : 0;
}

void tx_segment_place(const tx_facts *facts, int64_t capacity, float *memory, tx_segment *segment) {
  segment->capacity = capacity;
  segment->keys = memory;
  segment->values = memory + facts->kv_heads * facts->head_size * whole(capacity);
}

float *tx_segment_keys(const tx_facts *facts, const tx_segment *segment, int64_t head) {
  return segment->keys + head * facts->head_size * whole(segment->capacity);
}

float *tx_segment_values(const tx_facts *facts, const tx_segment *segment, int64_t head) {
  return segment->values + head * whole(facts->head_size) * segment->capacity;
}

/* Columns [column, column + count) of a panel; what stands after them is 0 from its
 * first column on.  A few rows of the panel at a time, so that both sides stay in cache. */
static void pack_columns(const float *rows, int64_t stride, int64_t size, int64_t column,
                         int64_t count, float *panel) {
  enum { DEPTH = 16 };
  for (int64_t k = 0; k < size; k += DEPTH) {
    int64_t end = size - k < DEPTH ? size : k + DEPTH;
    for (int64_t n = 0; n < count; n++) {
      float *to = panel + column + n;
      for (int64_t i = k; i < end; i++) to[i * TX_PANEL] = rows[n * stride + i];
    }
  }
  if (column > 0 || count == TX_PANEL) return;
  for (int64_t k = 0; k < size; k++) {
    memset(panel + k * TX_PANEL + count, 0, (size_t)(TX_PANEL - count) * sizeof *panel);
  }
}

static void pack_rows(const float *rows, int64_t stride, int64_t width, int64_t count,
                      float *panel) {
  for (int64_t n = 0; n < count; n++, panel += TX_PANEL, rows += stride) {
    memcpy(panel, rows, (size_t)width * sizeof *panel);
    memset(panel + width, 0, (size_t)(TX_PANEL - width) * sizeof *panel);
  }
}

void tx_segment_pack(const tx_facts *facts, const tx_segment *segment, int64_t head, int64_t at,
                     int64_t count, const float *key, const float *value) {
  int64_t size = facts->head_size, stride = size * facts->kv_heads;
  float *keys = tx_segment_keys(facts, segment, head);
  float *values = tx_segment_values(facts, segment, head);
  for (int64_t n = 0, columns; n < count; n += columns) {
    int64_t panel = (at + n) / TX_PANEL, column = (at + n) % TX_PANEL;
    columns = count - n < TX_PANEL - column ? count - n : TX_PANEL - column;
    pack_columns(key + n * stride + head * size, stride, size, column, columns,
                 keys + panel * size * TX_PANEL);
  }
  for (int64_t first = 0; first < size; first += TX_PANEL) {
    int64_t width = size - first < TX_PANEL ? size - first : TX_PANEL;
    pack_rows(value + head * size + first, stride, width, count,
              values + first * segment->capacity + at * TX_PANEL);
  }
}

void tx_segment_copy(const tx_facts *facts, const tx_segment *from, int64_t count,
                     const tx_segment *to) {
  int64_t keys = whole(count) * facts->head_size;
  for (int64_t head = 0; head < facts->kv_heads; head++) {
    memcpy(tx_segment_keys(facts, to, head), tx_segment_keys(facts, from, head),
           (size_t)keys * sizeof(float));
    for (int64_t first = 0; first < facts->head_size; first += TX_PANEL) {
      memcpy(tx_segment_values(facts, to, head) + first * to->capacity,
             tx_segment_values(facts, from, head) + first * from->capacity,
             (size_t)(count * TX_PANEL) * sizeof(float));
    }
  }
}
