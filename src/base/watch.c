/* Progress, notes and cancellation. */
#include "base/watch.h"

#include <stdarg.h>
#include <stdio.h>

void tx_watch_report(const tx_watch *watch, const char *stage, int64_t done, int64_t total,
                     const char *unit) {
  if (watch && watch->report) watch->report(watch->context, stage, done, total, unit);
}

void tx_watch_note(const tx_watch *watch, const char *format, ...) {
  if (!watch || !watch->note) return;
  char sentence[1024];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(sentence, sizeof sentence, format, arguments);
  va_end(arguments);
  watch->note(watch->context, sentence);
}

tx_status tx_watch_check(const tx_watch *watch, tx_error *error) {
  if (!watch || !watch->cancelled || !watch->cancelled(watch->context)) return TX_OK;
  return tx_fail(error, TX_ERROR_INTERRUPTED, "stopped on request");
}
