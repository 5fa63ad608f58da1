/* Bytes in order, from a file of any kind or from standard input: what reads a
 * table row by row and copies a file while hashing it stands on.  Maps of whole
 * files and all writing are left to file.h. */
#ifndef TX_FORMATS_STREAM_H
#define TX_FORMATS_STREAM_H

#include "base/error.h"

typedef struct tx_stream tx_stream;

/* "-" is standard input.  A missing file or a directory is TX_ERROR_INPUT; a
 * FIFO waits for its writer. */
tx_status tx_stream_open(const char *path, tx_stream **stream, tx_error *error);

/* Up to `size` bytes; *got 0 is the end.  A signal that arrives while waiting
 * is TX_ERROR_INTERRUPTED. */
tx_status tx_stream_read(tx_stream *stream, void *data, size_t size, size_t *got, tx_error *error);

const char *tx_stream_name(const tx_stream *stream); /* for messages; borrowed */
int64_t tx_stream_size(const tx_stream *stream);     /* of a regular file; 0: unknown */
void tx_stream_close(tx_stream *stream);             /* NULL is allowed */

#endif
