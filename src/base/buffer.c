/* The growing byte buffer: doubling growth, overflow-checked. */
#include "base/buffer.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"

bool tx_buffer_reserve(tx_buffer *buffer, size_t more) {
  if (buffer->failed) return false;
  if (more >= SIZE_MAX / 2 - buffer->size) {
    buffer->failed = true;
    return false;
  }
  size_t need = buffer->size + more + 1;
  if (buffer->data && need <= buffer->capacity) return true;
  size_t capacity = buffer->capacity ? buffer->capacity : 64;
  while (capacity < need) capacity *= 2;
  char *data = tx_resize(buffer->data, capacity);
  if (!data) {
    buffer->failed = true;
    return false;
  }
  buffer->data = data;
  buffer->capacity = capacity;
  return true;
}

bool tx_buffer_append(tx_buffer *buffer, const void *data, size_t size) {
  if (!tx_buffer_reserve(buffer, size)) return false;
  if (size) memcpy(buffer->data + buffer->size, data, size);
  buffer->size += size;
  buffer->data[buffer->size] = '\0';
  return true;
}

bool tx_buffer_append_string(tx_buffer *buffer, const char *text) {
  return tx_buffer_append(buffer, text, strlen(text));
}

bool tx_buffer_append_byte(tx_buffer *buffer, char byte) {
  return tx_buffer_append(buffer, &byte, 1);
}

bool tx_buffer_format(tx_buffer *buffer, const char *format, ...) {
  va_list arguments, again;
  va_start(arguments, format);
  va_copy(again, arguments);
  int need = vsnprintf(NULL, 0, format, arguments);
  va_end(arguments);
  bool done = need >= 0 && tx_buffer_reserve(buffer, (size_t)need);
  if (done) {
    vsnprintf(buffer->data + buffer->size, (size_t)need + 1, format, again);
    buffer->size += (size_t)need;
  }
  va_end(again);
  return done;
}

void tx_buffer_clear(tx_buffer *buffer) {
  buffer->size = 0;
  buffer->failed = false;
  if (buffer->data) buffer->data[0] = '\0';
}

char *tx_buffer_take(tx_buffer *buffer) {
  if (!buffer->data && !buffer->failed) tx_buffer_append(buffer, "", 0);
  char *data = buffer->failed ? NULL : buffer->data;
  if (!data) tx_free(buffer->data);
  *buffer = (tx_buffer){0};
  return data;
}

void tx_buffer_free(tx_buffer *buffer) {
  tx_free(buffer->data);
  *buffer = (tx_buffer){0};
}
