/* How much memory this process may still take, as the system tells it. */
#ifndef TX_BASE_AVAILABLE_H
#define TX_BASE_AVAILABLE_H

#include "base/error.h"

/* Bytes: the least of what the system calls available (MemAvailable) and what the
 * control groups that the process is in (version 2 or 1, and those above them) have
 * left, pages of files that can be let go counted as left.  UINT64_MAX where nothing
 * is known.  `root` stands in front of /proc and /sys: "" but in tests. */
uint64_t tx_memory_available(const char *root);

/* The same, or the megabytes of the environment's TAXON_MEMORY_MB in its place, where
 * that is set; TX_ERROR_ARGUMENT where it is no whole number. */
tx_status tx_memory_limit(uint64_t *bytes, tx_error *error);

#endif
