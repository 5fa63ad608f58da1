/* A tensor that is written as it is made, a few rows of floats at a time, so that a
 * model larger than memory can be written.  Where the values come from is left to who
 * makes them, the layout of the file to its writer. */
#ifndef TX_FORMATS_ROWS_H
#define TX_FORMATS_ROWS_H

#include "formats/file.h"

typedef struct tx_rows {
  int64_t rows, columns;
  /* values (count, columns) = rows [from, from + count), asked for once each and rising. */
  tx_status (*read)(void *context, int64_t from, int64_t count, float *values, tx_error *error);
  void *context;    /* borrowed */
  const char *name; /* for messages */
} tx_rows;

/* All rows, as F32 or, where `half`, as F16 (rounded to the nearest, ties to even).  A
 * value that is too large for F16 is TX_ERROR_ARGUMENT, and names the tensor. */
tx_status tx_rows_write(const tx_rows *rows, bool half, tx_writer *file, tx_error *error);

#endif
