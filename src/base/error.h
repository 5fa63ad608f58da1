/* How a fallible function reports: a status returned, the detail in the
 * caller's tx_error, the first failure kept.  The library never prints, exits
 * or aborts; what to do about a failure is left to the caller. */
#ifndef TX_BASE_ERROR_H
#define TX_BASE_ERROR_H

#include "taxon.h"

/* Each fills `error` (may be NULL) unless it already holds a failure, and
 * returns `status`, so that a caller can write `return tx_fail(...)`.
 * The sentence says what was wrong and what to do next. */
tx_status tx_fail(tx_error *error, tx_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* In a text file: `line` counts from 1. */
tx_status tx_fail_line(tx_error *error, tx_status status, const char *file, int64_t line,
                       const char *format, ...) __attribute__((format(printf, 5, 6)));

/* In a binary file: `where` names the file, or the file and the tensor. */
tx_status tx_fail_byte(tx_error *error, tx_status status, const char *where, uint64_t offset,
                       const char *format, ...) __attribute__((format(printf, 5, 6)));

/* TX_ERROR_SYSTEM: `bytes` could not be allocated for `what`. */
tx_status tx_fail_memory(tx_error *error, uint64_t bytes, const char *what);

/* TX_ERROR_SYSTEM, with the text of errno: could not `action` (a verb) `path`. */
tx_status tx_fail_errno(tx_error *error, const char *action, const char *path);

/* A failure that was kept apart becomes the caller's; returns its status. */
tx_status tx_fail_with(tx_error *error, const tx_error *failure);

/* Forwards a failure. */
#define TX_TRY(call)                                    \
  do {                                                  \
    tx_status tx_try_status_ = (call);                  \
    if (tx_try_status_ != TX_OK) return tx_try_status_; \
  } while (0)

#endif
