/* Making GGUF files by hand, right or wrong, for the tests of their reader. */
#ifndef TX_TESTS_GGUF_MAKE_H
#define TX_TESTS_GGUF_MAKE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/buffer.h"
#include "base/memory.h"
#include "formats/gguf.h"

enum { /* types of values */ U8, I8, U16, I16, U32, I32, F32, BOOL, STRING, ARRAY, U64, I64, F64 };

static inline void raw(tx_buffer *file, const void *data, size_t size) {
  assert_true(tx_buffer_append(file, data, size));
}
static inline void u8(tx_buffer *file, uint8_t value) { raw(file, &value, sizeof value); }
static inline void u32(tx_buffer *file, uint32_t value) { raw(file, &value, sizeof value); }
static inline void u64(tx_buffer *file, uint64_t value) { raw(file, &value, sizeof value); }

static inline void string(tx_buffer *file, const char *text) {
  u64(file, strlen(text));
  raw(file, text, strlen(text));
}

static inline void header(tx_buffer *file, uint32_t version, uint64_t tensors, uint64_t keys) {
  raw(file, "GGUF", 4);
  u32(file, version);
  u64(file, tensors);
  u64(file, keys);
}

static inline void key(tx_buffer *file, const char *name, uint32_t type) {
  string(file, name);
  u32(file, type);
}

static inline void array(tx_buffer *file, const char *name, uint32_t element, uint64_t count) {
  key(file, name, ARRAY);
  u32(file, element);
  u64(file, count);
}

/* A tensor's row in the table; `dimensions` numbers follow. */
static inline void tensor(tx_buffer *file, const char *name, uint32_t type, uint64_t offset,
                          uint32_t dimensions, ...) {
  va_list shape;
  string(file, name);
  u32(file, dimensions);
  va_start(shape, dimensions);
  for (uint32_t i = 0; i < dimensions; i++) u64(file, va_arg(shape, uint64_t));
  va_end(shape);
  u32(file, type);
  u64(file, offset);
}

static inline void pad(tx_buffer *file, size_t alignment) {
  while (file->size % alignment != 0) u8(file, 0);
}

static inline void zeros(tx_buffer *file, size_t count) {
  for (size_t i = 0; i < count; i++) u8(file, 0);
}

/* Opens a copy that ends where the file ends, so that a sanitizer sees a byte
 * read too many. */
static inline tx_status open_copy(const void *data, size_t size, tx_gguf **gguf,
                                  unsigned char **copy, tx_error *error) {
  *copy = tx_alloc(size);
  assert_non_null(*copy);
  if (size) memcpy(*copy, data, size);
  return tx_gguf_open_bytes(*copy, size, "m.gguf", gguf, error);
}

#endif
