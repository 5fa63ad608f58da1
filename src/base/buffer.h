/* A growing run of bytes, always followed by a NUL: string building, and
 * reading input of unknown length.
 *
 * Invariant: `data` is NULL and size 0 before the first append; after it,
 * data[size] == 0.  A failed append leaves the contents as they were, sets
 * `failed` (sticky) and returns false, so a run of appends can be checked
 * once, at its end. */
#ifndef TX_BASE_BUFFER_H
#define TX_BASE_BUFFER_H

#include <stdbool.h>
#include <stddef.h>

typedef struct {
  char *data;
  size_t size, capacity;
  bool failed;
} tx_buffer;

bool tx_buffer_reserve(tx_buffer *buffer, size_t more);
bool tx_buffer_append(tx_buffer *buffer, const void *data, size_t size);
bool tx_buffer_append_string(tx_buffer *buffer, const char *text);
bool tx_buffer_append_byte(tx_buffer *buffer, char byte);
bool tx_buffer_format(tx_buffer *buffer, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void tx_buffer_clear(tx_buffer *buffer); /* size 0, memory kept, `failed` reset */
char *tx_buffer_take(tx_buffer *buffer); /* the caller frees it with tx_free; NULL if failed */
void tx_buffer_free(tx_buffer *buffer);

#endif
