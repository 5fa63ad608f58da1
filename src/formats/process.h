/* Another program run to its end, without a shell: the package clients of the
 * hub.  What its answer means is left to the caller. */
#ifndef TX_FORMATS_PROCESS_H
#define TX_FORMATS_PROCESS_H

#include "base/buffer.h"
#include "base/error.h"

enum { TX_PROCESS_MISSING = 127, TX_PROCESS_COMPLAINT = 1 << 16 };

typedef struct tx_process {
  const char *const *arguments;   /* the program (found by PATH) first; NULL at the end */
  const char *const *environment; /* NAME=value set over the present ones; NULL at the end */
  /* Called about ten times a second; false ends the program, and the call with
   * TX_ERROR_INTERRUPTED. */
  bool (*tick)(void *context);
  void *context;
} tx_process;

/* Input and output are closed to it; the last TX_PROCESS_COMPLAINT bytes of its
 * standard error are appended to `complaint`.  *code: its exit status, 128 + a
 * signal's number, or TX_PROCESS_MISSING where there is no such program. */
tx_status tx_process_run(const tx_process *process, int *code, tx_buffer *complaint,
                         tx_error *error);

#endif
