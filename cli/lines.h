/* Texts from standard input, one a line, in batches: as many as are there at
 * the moment, so that a slow writer is answered at once and a fast one fills
 * whole batches.  Memory is bounded by the batch and the longest line. */
#ifndef TAXON_CLI_LINES_H
#define TAXON_CLI_LINES_H

#include "cli.h"

typedef struct lines {
  int descriptor;
  char *buffer;
  size_t size, capacity; /* bytes held, allocated */
  size_t at;             /* the first byte not yet handed out */
  bool ended, started;   /* the input; the first line */
} lines;

lines lines_open(int descriptor);

/* Up to `most` texts, and no more after `bytes` bytes, borrowed until the next
 * call.  The line's end (LF or CRLF) and a byte order mark before the first are
 * no part of a text; other bytes are passed on as they are.  *count 0: the end,
 * or interrupted.  A failure to read returns its errno, else 0. */
int lines_batch(lines *reader, tx_text *texts, size_t most, size_t bytes, size_t *count);

void lines_close(lines *reader);

#endif
