/* A GGUF file that is in order, walked: where each number of its header stands
 * and what it is, so that a test can spoil them one by one.  The walk trusts the
 * file and shares no code with the reader. */
#ifndef TX_TESTS_GGUF_FIELDS_H
#define TX_TESTS_GGUF_FIELDS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/buffer.h"

typedef enum field_kind {
  FIELD_MAGIC,
  FIELD_VERSION,
  FIELD_TENSORS,
  FIELD_KEYS,
  FIELD_KEY_LENGTH,
  FIELD_VALUE_TYPE,
  FIELD_VALUE, /* of a whole number */
  FIELD_STRING_LENGTH,
  FIELD_ARRAY_TYPE,
  FIELD_ARRAY_COUNT,
  FIELD_TENSOR_NAME_LENGTH,
  FIELD_DIMENSIONS,
  FIELD_DIMENSION,
  FIELD_TENSOR_TYPE,
  FIELD_OFFSET,
} field_kind;

static const char *const field_names[] = {
    "magic",         "version",    "tensor count", "key count",          "key length",
    "value type",    "value",      "string length", "array type",        "array count",
    "tensor's name length", "dimensions", "dimension",    "tensor type", "offset"};

typedef struct field {
  field_kind kind;
  size_t at, width; /* 4 or 8 bytes; a value may have 1 or 2 */
} field;

typedef struct fields {
  field *items;
  size_t count;
  size_t header; /* bytes before the tensors' data */
} fields;

typedef struct walk {
  const unsigned char *data;
  size_t at;
  tx_buffer found;
} walk;

static inline uint64_t field_load(const unsigned char *data, size_t at, size_t width) {
  uint64_t value = 0;
  memcpy(&value, data + at, width);
  return value;
}

static inline uint64_t walk_number(walk *w, field_kind kind, size_t width) {
  field f = {kind, w->at, width};
  assert_true(tx_buffer_append(&w->found, &f, sizeof f));
  w->at += width;
  return field_load(w->data, f.at, width);
}

static inline void walk_value(walk *w, uint64_t type) {
  static const unsigned char widths[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
  static const bool whole[] = {1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 1, 1, 0};
  if (type == 8) {
    w->at += walk_number(w, FIELD_STRING_LENGTH, 8);
  } else if (type == 9) {
    uint64_t element = walk_number(w, FIELD_ARRAY_TYPE, 4);
    uint64_t count = walk_number(w, FIELD_ARRAY_COUNT, 8);
    if (element != 8) w->at += count * widths[element];
    for (uint64_t i = 0; element == 8 && i < count; i++) {
      w->at += walk_number(w, FIELD_STRING_LENGTH, 8);
    }
  } else if (whole[type]) {
    walk_number(w, FIELD_VALUE, widths[type]);
  } else {
    w->at += widths[type];
  }
}

/* `items` is new: free it by tx_free. */
static inline fields fields_of(const void *data) {
  walk w = {.data = data};
  walk_number(&w, FIELD_MAGIC, 4);
  walk_number(&w, FIELD_VERSION, 4);
  uint64_t tensors = walk_number(&w, FIELD_TENSORS, 8);
  uint64_t keys = walk_number(&w, FIELD_KEYS, 8);
  for (uint64_t i = 0; i < keys; i++) {
    w.at += walk_number(&w, FIELD_KEY_LENGTH, 8);
    walk_value(&w, walk_number(&w, FIELD_VALUE_TYPE, 4));
  }
  for (uint64_t i = 0; i < tensors; i++) {
    w.at += walk_number(&w, FIELD_TENSOR_NAME_LENGTH, 8);
    uint64_t dimensions = walk_number(&w, FIELD_DIMENSIONS, 4);
    for (uint64_t j = 0; j < dimensions; j++) walk_number(&w, FIELD_DIMENSION, 8);
    walk_number(&w, FIELD_TENSOR_TYPE, 4);
    walk_number(&w, FIELD_OFFSET, 8);
  }
  return (fields){(field *)(void *)w.found.data, w.found.size / sizeof(field), w.at};
}

/* What a field is set to: 0, 1, -1 (its maximum), the largest and the smallest
 * signed number, off by one both ways, a power of two, its bytes turned around. */
enum { FIELD_CHANGES = 9 };

static inline uint64_t field_changed(uint64_t old, size_t width, int change) {
  uint64_t all = width == 8 ? UINT64_MAX : ((uint64_t)1 << 8 * width) - 1;
  switch (change) {
    case 0: return 0;
    case 1: return 1;
    case 2: return all;
    case 3: return all >> 1;
    case 4: return (all >> 1) + 1;
    case 5: return (old - 1) & all;
    case 6: return (old + 1) & all;
    case 7: return (uint64_t)1 << (4 * width);
    default: return __builtin_bswap64(old) >> (64 - 8 * width);
  }
}

#endif
