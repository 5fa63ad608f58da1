/* Included before every file that clang and gcc analyse (tests/check.sh): tells them what
 * they cannot see from one file, that a function which reports a failure does not
 * return TX_OK. */
#include "base/error.h"

#define tx_fail(error, status, ...) ((void)(tx_fail)((error), (status), __VA_ARGS__), (status))
#define tx_fail_line(error, status, ...) \
  ((void)(tx_fail_line)((error), (status), __VA_ARGS__), (status))
#define tx_fail_byte(error, status, ...) \
  ((void)(tx_fail_byte)((error), (status), __VA_ARGS__), (status))
#define tx_fail_memory(error, bytes, what) \
  ((void)(tx_fail_memory)((error), (bytes), (what)), TX_ERROR_SYSTEM)
#define tx_fail_errno(error, action, path) \
  ((void)(tx_fail_errno)((error), (action), (path)), TX_ERROR_SYSTEM)
