/* The one way from file bytes to values: a little-endian reader that checks
 * every step against the end of the bytes.
 *
 * The first failed step fills the error, with the file's name and the byte
 * offset, and every later step returns zero, so a run of reads may be checked
 * once by looking at `failed`. */
#ifndef TX_BASE_CURSOR_H
#define TX_BASE_CURSOR_H

#include "base/error.h"

typedef struct {
  const unsigned char *data; /* borrowed */
  uint64_t size, at;         /* at <= size */
  const char *name;          /* the file, for messages; borrowed */
  tx_error *error;
  bool failed;
} tx_cursor;

tx_cursor tx_cursor_make(const void *data, uint64_t size, const char *name, tx_error *error);

/* The next `size` bytes, borrowed; NULL past the end.  `what` names them. */
const unsigned char *tx_cursor_bytes(tx_cursor *cursor, uint64_t size, const char *what);
uint8_t tx_cursor_u8(tx_cursor *cursor, const char *what);
uint16_t tx_cursor_u16(tx_cursor *cursor, const char *what);
uint32_t tx_cursor_u32(tx_cursor *cursor, const char *what);
uint64_t tx_cursor_u64(tx_cursor *cursor, const char *what);
uint64_t tx_cursor_left(const tx_cursor *cursor);

/* Marks the cursor failed at its present place: TX_ERROR_INPUT. */
tx_status tx_cursor_fail(tx_cursor *cursor, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
