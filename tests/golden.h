/* Reading golden numbers, and comparing with them.  Included once by a test,
 * after cmocka.h. */
#ifndef TX_TESTS_GOLDEN_H
#define TX_TESTS_GOLDEN_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/gguf.h"

static inline void *checked_memory(size_t size) {
  void *memory = calloc(1, size + 1);
  assert_non_null(memory);
  return memory;
}

#define ASSERT_OK(call)                                                      \
  do {                                                                       \
    tx_error error_ = {0};                                                   \
    tx_error *error = &error_;                                               \
    if ((call) != TX_OK) {                                                   \
      char sentence_[1400];                                                  \
      fail_msg("%s", tx_error_sentence(error, sentence_, sizeof sentence_)); \
    }                                                                        \
  } while (0)

static inline tx_gguf *golden_open(const char *name) {
  char path[256];
  snprintf(path, sizeof path, "tests/golden/%s", name);
  tx_gguf *gguf = NULL;
  ASSERT_OK(tx_gguf_open(path, &gguf, error));
  return gguf;
}

static inline const float *golden_floats(const tx_gguf *gguf, const char *name) {
  const tx_tensor *tensor = tx_gguf_tensor(gguf, name);
  if (!tensor || tensor->type != TX_TENSOR_F32) fail_msg("no golden tensor %s", name);
  return (const float *)(const void *)tensor->data;
}

static inline const int32_t *golden_ints(const tx_gguf *gguf, const char *name, int64_t *count) {
  const tx_tensor *tensor = tx_gguf_tensor(gguf, name);
  if (!tensor || tensor->type != TX_TENSOR_I32) fail_msg("no golden tensor %s", name);
  if (count) *count = tensor->shape[0];
  return (const int32_t *)(const void *)tensor->data;
}

/* The largest difference, relative to the largest value of the reference. */
static inline void assert_close(const float *got, const float *want, int64_t count,
                                double tolerance, const char *what) {
  double largest = 0, worst = 0;
  for (int64_t i = 0; i < count; i++) {
    double away = fabs((double)got[i] - (double)want[i]);
    if (isnan(got[i])) fail_msg("%s: NaN at %ld", what, (long)i);
    if (away > worst) worst = away;
    if (fabs((double)want[i]) > largest) largest = fabs((double)want[i]);
  }
  if (worst > tolerance * largest) {
    fail_msg("%s: off by %g of %g, %g relative", what, worst, largest, worst / largest);
  }
}

#endif
