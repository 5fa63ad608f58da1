/* The failure to open a file for reading, said with what was probably meant. */
#ifndef TX_FORMATS_MISSING_H
#define TX_FORMATS_MISSING_H

#include "base/error.h"

/* `code` is the errno of the failed open.  A path that leads to no readable file
 * is the caller's input, and a file beside it whose name differs by a slip is
 * named; the rest is the system's trouble. */
tx_status tx_fail_unreadable(const char *path, int code, tx_error *error);

#endif
