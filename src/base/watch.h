/* Calling a tx_watch, which may be NULL, as may each of its functions. */
#ifndef TX_BASE_WATCH_H
#define TX_BASE_WATCH_H

#include "base/error.h"

void tx_watch_report(const tx_watch *watch, const char *stage, int64_t done, int64_t total,
                     const char *unit);
void tx_watch_note(const tx_watch *watch, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* TX_ERROR_INTERRUPTED if the caller wants to stop. */
tx_status tx_watch_check(const tx_watch *watch, tx_error *error);

#endif
