/* Filling a tx_error and turning one into a sentence. */
#include "base/error.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static bool claim(tx_error *error, tx_status status) {
  if (!error || error->status != TX_OK) return false;
  memset(error, 0, sizeof *error);
  error->status = status;
  return true;
}

tx_status tx_fail(tx_error *error, tx_status status, const char *format, ...) {
  if (claim(error, status)) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error->message, sizeof error->message, format, arguments);
    va_end(arguments);
  }
  return status;
}

tx_status tx_fail_line(tx_error *error, tx_status status, const char *file, int64_t line,
                       const char *format, ...) {
  if (claim(error, status)) {
    snprintf(error->where, sizeof error->where, "%s", file);
    error->line = line;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error->message, sizeof error->message, format, arguments);
    va_end(arguments);
  }
  return status;
}

tx_status tx_fail_byte(tx_error *error, tx_status status, const char *where, uint64_t offset,
                       const char *format, ...) {
  if (claim(error, status)) {
    snprintf(error->where, sizeof error->where, "%s", where);
    error->has_offset = true;
    error->offset = offset;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error->message, sizeof error->message, format, arguments);
    va_end(arguments);
  }
  return status;
}

tx_status tx_fail_memory(tx_error *error, uint64_t bytes, const char *what) {
  return tx_fail(error, TX_ERROR_SYSTEM,
                 "out of memory: %" PRIu64
                 " bytes for %s could not be had; free memory or use a "
                 "smaller model or batch",
                 bytes, what);
}

tx_status tx_fail_errno(tx_error *error, const char *action, const char *path) {
  int code = errno;
  return tx_fail(error, TX_ERROR_SYSTEM, "cannot %s %s: %s", action, path, strerror(code));
}

tx_status tx_fail_with(tx_error *error, const tx_error *failure) {
  if (claim(error, failure->status)) *error = *failure;
  return failure->status;
}

const char *tx_error_sentence(const tx_error *error, char *buffer, size_t size) {
  if (size == 0) return "";
  int used = 0;
  if (error->where[0] && error->line > 0) {
    used = snprintf(buffer, size, "%s:%" PRId64 ": ", error->where, error->line);
  } else if (error->where[0] && error->has_offset) {
    used = snprintf(buffer, size, "%s: byte %" PRIu64 ": ", error->where, error->offset);
  } else if (error->where[0]) {
    used = snprintf(buffer, size, "%s: ", error->where);
  } else {
    buffer[0] = '\0';
  }
  if (used >= 0 && (size_t)used < size) {
    snprintf(buffer + used, size - (size_t)used, "%s", error->message);
  }
  return buffer;
}
