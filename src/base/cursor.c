/* Bounds-checked little-endian reading. */
#include "base/cursor.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

tx_cursor tx_cursor_make(const void *data, uint64_t size, const char *name, tx_error *error) {
  return (tx_cursor){data, size, 0, name, error, false};
}

uint64_t tx_cursor_left(const tx_cursor *cursor) { return cursor->size - cursor->at; }

const unsigned char *tx_cursor_bytes(tx_cursor *cursor, uint64_t size, const char *what) {
  if (cursor->failed) return NULL;
  if (size > tx_cursor_left(cursor)) {
    tx_cursor_fail(cursor,
                   "the file ends inside %s (%" PRIu64 " bytes needed, %" PRIu64
                   " left); it is cut short or damaged, fetch it again",
                   what, size, tx_cursor_left(cursor));
    return NULL;
  }
  const unsigned char *bytes = cursor->data + cursor->at;
  cursor->at += size;
  return bytes;
}

static uint64_t read_little(tx_cursor *cursor, unsigned size, const char *what) {
  const unsigned char *bytes = tx_cursor_bytes(cursor, size, what);
  uint64_t value = 0;
  for (unsigned i = 0; bytes && i < size; i++) value |= (uint64_t)bytes[i] << (8 * i);
  return value;
}

uint8_t tx_cursor_u8(tx_cursor *cursor, const char *what) {
  return (uint8_t)read_little(cursor, 1, what);
}
uint16_t tx_cursor_u16(tx_cursor *cursor, const char *what) {
  return (uint16_t)read_little(cursor, 2, what);
}
uint32_t tx_cursor_u32(tx_cursor *cursor, const char *what) {
  return (uint32_t)read_little(cursor, 4, what);
}
uint64_t tx_cursor_u64(tx_cursor *cursor, const char *what) { return read_little(cursor, 8, what); }

tx_status tx_cursor_fail(tx_cursor *cursor, const char *format, ...) {
  if (!cursor->failed) {
    char message[sizeof cursor->error->message];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    tx_fail_byte(cursor->error, TX_ERROR_INPUT, cursor->name, cursor->at, "%s", message);
  }
  cursor->failed = true;
  return TX_ERROR_INPUT;
}
