/* Rows of floats into a file, as F32 or F16. */
#include "formats/rows.h"

#include <string.h>

#include "base/memory.h"

enum { VALUES_AT_A_TIME = 1 << 20, HALF_INFINITY = 0x7c00 };

/* Adding 0.5 to what is below the smallest normal half leaves just its bits: the ulp of
 * 0.5 is the smallest half. */
static uint16_t half_of(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  uint32_t sign = bits >> 16 & 0x8000u, size = bits & 0x7fffffffu;
  if (size >= 0x477ff000u) return (uint16_t)(sign | HALF_INFINITY); /* 65,520 and more */
  if (size >= 0x38800000u) {
    size += 0xfffu + (size >> 13 & 1u);
    return (uint16_t)(sign | (size - 0x38000000u) >> 13);
  }
  float small;
  memcpy(&small, &size, sizeof small);
  small += 0.5f;
  memcpy(&bits, &small, sizeof bits);
  return (uint16_t)(sign | (bits - 0x3f000000u));
}

/* In place: the halves are the first half of the bytes.  false: one is too large. */
static bool to_halves(float *values, int64_t count) {
  unsigned char *bytes = (unsigned char *)values;
  bool fit = true;
  for (int64_t i = 0; i < count; i++) {
    uint16_t half = half_of(values[i]);
    fit = fit && (half & 0x7fff) != HALF_INFINITY;
    memcpy(bytes + 2 * i, &half, sizeof half);
  }
  return fit;
}

static tx_status write_part(const tx_rows *rows, bool half, int64_t count, float *values,
                            tx_writer *file, tx_error *error) {
  size_t values_count = (size_t)(count * rows->columns);
  if (half && !to_halves(values, count * rows->columns)) {
    return tx_fail(error, TX_ERROR_ARGUMENT,
                   "%s holds a value that is too large for f16; write it as f32", rows->name);
  }
  return tx_writer_add(file, values, values_count * (half ? 2 : sizeof *values), error);
}

tx_status tx_rows_write(const tx_rows *rows, bool half, tx_writer *file, tx_error *error) {
  int64_t step = VALUES_AT_A_TIME / rows->columns;
  if (step < 1) step = 1;
  if (step > rows->rows) step = rows->rows;
  float *values = tx_alloc_array((size_t)step, (size_t)rows->columns * sizeof *values);
  if (!values) return tx_fail_memory(error, (uint64_t)(step * rows->columns) * 4, rows->name);
  tx_status status = TX_OK;
  for (int64_t from = 0; status == TX_OK && from < rows->rows; from += step) {
    int64_t count = rows->rows - from < step ? rows->rows - from : step;
    status = rows->read(rows->context, from, count, values, error);
    if (status == TX_OK) status = write_part(rows, half, count, values, file, error);
  }
  tx_free(values);
  return status;
}
