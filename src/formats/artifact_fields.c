/* One fact at a time, each way. */
#include "formats/artifact_fields.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

void tx_field_write(const tx_field *f, const void *facts, const char *key,
                    tx_gguf_writer *writer) {
  const void *place = (const char *)facts + f->offset;
  if (f->kind == TX_FIELD_INT || f->kind == TX_FIELD_OPTIONAL_INT) {
    int64_t value = *(const int64_t *)place;
    if (f->kind == TX_FIELD_INT || value != 0) tx_gguf_add_int(writer, key, value);
  } else if (f->kind == TX_FIELD_FLOAT || f->kind == TX_FIELD_OPTIONAL_FLOAT) {
    double value = *(const double *)place;
    if (f->kind == TX_FIELD_FLOAT || value > 0) tx_gguf_add_float(writer, key, value);
  } else if (f->kind == TX_FIELD_OPTIONAL_BOOL) {
    if (*(const bool *)place) tx_gguf_add_bool(writer, key, true);
  } else {
    tx_text value = *(const tx_text *)place;
    if (f->kind == TX_FIELD_STRING || value.size > 0) tx_gguf_add_string(writer, key, value);
  }
}

static tx_status read_int(const tx_gguf *gguf, const tx_field *f, const char *key, void *place,
                          tx_error *error) {
  int64_t *value = place;
  TX_TRY(tx_gguf_int(gguf, key, value, error));
  if (*value >= f->low && *value <= f->high) return TX_OK;
  return tx_fail(error, TX_ERROR_INPUT,
                 "%s: %s is %" PRId64 ", outside %" PRId64 " to %" PRId64
                 "; the artifact is damaged, train it again",
                 tx_gguf_path(gguf), key, *value, f->low, f->high);
}

static tx_status read_float(const tx_gguf *gguf, const tx_field *f, const char *key, void *place,
                            tx_error *error) {
  double *value = place;
  TX_TRY(tx_gguf_float(gguf, key, value, error));
  bool fits = f->high == INT64_MAX ? isfinite(*value) : *value <= (double)f->high;
  if (*value >= (double)f->low && fits) return TX_OK;
  return tx_fail(error, TX_ERROR_INPUT,
                 "%s: %s is %g, which it cannot be; the artifact is damaged, train it again",
                 tx_gguf_path(gguf), key, *value);
}

tx_status tx_field_read(const tx_field *f, const tx_gguf *gguf, const char *key, void *facts,
                        tx_error *error) {
  void *place = (char *)facts + f->offset;
  switch (f->kind) {
    case TX_FIELD_INT: return read_int(gguf, f, key, place, error);
    case TX_FIELD_FLOAT: return read_float(gguf, f, key, place, error);
    case TX_FIELD_OPTIONAL_INT:
      return tx_gguf_has(gguf, key) ? read_int(gguf, f, key, place, error) : TX_OK;
    case TX_FIELD_OPTIONAL_FLOAT:
      return tx_gguf_has(gguf, key) ? read_float(gguf, f, key, place, error) : TX_OK;
    case TX_FIELD_OPTIONAL_BOOL:
      return tx_gguf_has(gguf, key) ? tx_gguf_bool(gguf, key, place, error) : TX_OK;
    case TX_FIELD_OPTIONAL_STRING:
      return tx_gguf_has(gguf, key) ? tx_gguf_string(gguf, key, place, error) : TX_OK;
    default: return tx_gguf_string(gguf, key, place, error);
  }
}

bool tx_is_sha256(tx_text hex) {
  size_t digits = 0;
  while (digits < hex.size && memchr("0123456789abcdef", hex.data[digits], 16)) digits++;
  return digits == 64 && hex.size == 64;
}

tx_status tx_advise_training(tx_status status, tx_error *error) {
  static const char fetch[] = "fetch it again", train[] = "train it again, or copy it again";
  char *advice = error ? strstr(error->message, fetch) : NULL;
  if (advice && advice + sizeof train <= error->message + sizeof error->message) {
    memcpy(advice, train, sizeof train);
  }
  return status;
}
