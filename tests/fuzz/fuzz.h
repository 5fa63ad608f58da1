/* What the fuzz targets share.  A target is one file with fuzz_one(); the engine
 * is libFuzzer (`make fuzz`) or replay.c, which runs kept inputs once (`make
 * test`).  A property that does not hold ends the process: both engines and the
 * sanitizers take that for a finding. */
#ifndef TX_TESTS_FUZZ_H
#define TX_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

/* The names are libFuzzer's.  `data` ends where its memory ends, so that a
 * sanitizer sees a byte read too many. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(condition)                                                          \
  do {                                                                           \
    if (!(condition)) {                                                          \
      fprintf(stderr, "%s:%d: this must hold: %s\n", __FILE__, __LINE__, #condition); \
      abort();                                                                   \
    }                                                                            \
  } while (0)

/* What holds of every call: a failure has its status and a sentence in the error,
 * a success has neither.  Input can only be refused as input or as an argument. */
static inline void must_tell(tx_status status, const tx_error *error) {
  MUST(error->status == status);
  if (status == TX_OK) return;
  MUST(status == TX_ERROR_INPUT || status == TX_ERROR_ARGUMENT);
  MUST(error->message[0] != '\0');
  MUST(memchr(error->message, '\0', sizeof error->message));
  MUST(memchr(error->where, '\0', sizeof error->where));
  char sentence[2048];
  MUST(strlen(tx_error_sentence(error, sentence, sizeof sentence)) > 0);
}

/* Reads every byte, so that a sanitizer sees one that is not there. */
static inline void touch(const void *data, size_t size) {
  const volatile unsigned char *bytes = data;
  unsigned char sum = 0;
  for (size_t i = 0; i < size; i++) sum = (unsigned char)(sum ^ bytes[i]);
  (void)sum;
}

#endif
