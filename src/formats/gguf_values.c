/* What a GGUF file holds: types, keys looked up, their values converted.  Whatever
 * is read here was found to lie inside the file when it was opened. */
#include <inttypes.h>
#include <string.h>

#include "base/memory.h"
#include "formats/gguf_parts.h"

enum { SPARE_BYTES = 16 << 20 /* memory allowed beyond the size of the file */ };

/* ---- types ------------------------------------------------------------- */

#define WHOLE "a whole number", "an array of whole numbers"
#define REAL "a real number", "an array of real numbers"

const tx_gguf_value_fact tx_gguf_value_facts[TX_GGUF_TYPES] = {
    [TX_GGUF_U8] = {WHOLE, 1},
    [TX_GGUF_I8] = {WHOLE, 1},
    [TX_GGUF_U16] = {WHOLE, 2},
    [TX_GGUF_I16] = {WHOLE, 2},
    [TX_GGUF_U32] = {WHOLE, 4},
    [TX_GGUF_I32] = {WHOLE, 4},
    [TX_GGUF_F32] = {REAL, 4},
    [TX_GGUF_BOOL] = {"true or false", "an array of true and false", 1},
    [TX_GGUF_STRING] = {"a string", "an array of strings", 0},
    [TX_GGUF_ARRAY] = {"an array", "an array of arrays", 0},
    [TX_GGUF_U64] = {WHOLE, 8},
    [TX_GGUF_I64] = {WHOLE, 8},
    [TX_GGUF_F64] = {REAL, 8},
};

bool tx_tensor_type_find(uint32_t type, tx_tensor_type_facts *facts) {
  switch ((tx_tensor_type)type) {
    case TX_TENSOR_F32:
      *facts = (tx_tensor_type_facts){"F32", 1, 4};
      return true;
    case TX_TENSOR_F16:
      *facts = (tx_tensor_type_facts){"F16", 1, 2};
      return true;
    case TX_TENSOR_Q4_0:
      *facts = (tx_tensor_type_facts){"Q4_0", 32, 18};
      return true;
    case TX_TENSOR_Q4_1:
      *facts = (tx_tensor_type_facts){"Q4_1", 32, 20};
      return true;
    case TX_TENSOR_Q5_0:
      *facts = (tx_tensor_type_facts){"Q5_0", 32, 22};
      return true;
    case TX_TENSOR_Q5_1:
      *facts = (tx_tensor_type_facts){"Q5_1", 32, 24};
      return true;
    case TX_TENSOR_Q8_0:
      *facts = (tx_tensor_type_facts){"Q8_0", 32, 34};
      return true;
    case TX_TENSOR_Q4_K:
      *facts = (tx_tensor_type_facts){"Q4_K", 256, 144};
      return true;
    case TX_TENSOR_Q5_K:
      *facts = (tx_tensor_type_facts){"Q5_K", 256, 176};
      return true;
    case TX_TENSOR_Q6_K:
      *facts = (tx_tensor_type_facts){"Q6_K", 256, 210};
      return true;
    case TX_TENSOR_I32:
      *facts = (tx_tensor_type_facts){"I32", 1, 4};
      return true;
    case TX_TENSOR_I64:
      *facts = (tx_tensor_type_facts){"I64", 1, 8};
      return true;
    case TX_TENSOR_BF16:
      *facts = (tx_tensor_type_facts){"BF16", 1, 2};
      return true;
  }
  return false;
}

/* ---- what both halves share ----------------------------------------------- */

tx_gguf_shown tx_gguf_show(tx_text name) {
  tx_gguf_shown result;
  size_t size = name.size < TX_GGUF_SHOWN ? name.size : TX_GGUF_SHOWN;
  for (size_t i = 0; i < size; i++) {
    char byte = name.data[i];
    result.text[i] = byte >= 0x20 && byte < 0x7f ? byte : '?';
  }
  memcpy(result.text + size, size < name.size ? "..." : "", size < name.size ? 4 : 1);
  return result;
}

tx_status tx_gguf_read_string(tx_cursor *cursor, uint64_t limit, const char *what, tx_text *text) {
  uint64_t at = cursor->at;
  uint64_t size = tx_cursor_u64(cursor, what);
  if (cursor->failed) return TX_ERROR_INPUT;
  if (size > tx_cursor_left(cursor)) {
    cursor->at = at;
    return tx_cursor_fail(cursor,
                          "%s claims %" PRIu64 " bytes, %" PRIu64
                          " are left; the file is cut short or damaged, fetch it again",
                          what, size, cursor->size - at - 8);
  }
  if (size > limit) {
    cursor->at = at;
    return tx_cursor_fail(cursor,
                          "%s has %" PRIu64 " bytes, at most %" PRIu64
                          " are allowed; the file is damaged, fetch it again",
                          what, size, limit);
  }
  text->data = (const char *)tx_cursor_bytes(cursor, size, what);
  text->size = (size_t)size;
  return TX_OK;
}

/* ---- looking up -------------------------------------------------------- */

bool tx_gguf_has(const tx_gguf *gguf, const char *key) {
  size_t index;
  return tx_names_find(&gguf->keys, key, &index);
}

/* NULL, with the failure, where there is none. */
static tx_gguf_entry *find_value(const tx_gguf *gguf, const char *key, tx_error *error) {
  size_t index;
  if (tx_names_find(&gguf->keys, key, &index)) return &gguf->entries[index];
  tx_fail_line(error, TX_ERROR_INPUT, gguf->path, 0,
               "key '%s' is missing; the file is of another kind or was not converted completely, "
               "fetch or convert it again",
               key);
  return NULL;
}

static tx_status fail_type(const tx_gguf *gguf, const char *key, const tx_gguf_entry *value,
                           const char *wanted, tx_error *error) {
  const char *is = value->type == TX_GGUF_ARRAY ? tx_gguf_value_facts[value->element].many
                                                : tx_gguf_value_facts[value->type].one;
  return BROKEN(gguf, value->at, "key '%s' is %s, not %s; convert the model again", key, is,
                wanted);
}

static bool is_whole(uint8_t type) {
  switch ((tx_gguf_value_type)type) {
    case TX_GGUF_U8:
    case TX_GGUF_I8:
    case TX_GGUF_U16:
    case TX_GGUF_I16:
    case TX_GGUF_U32:
    case TX_GGUF_I32:
    case TX_GGUF_U64:
    case TX_GGUF_I64:
      return true;
    default:
      return false;
  }
}

/* One number of a checked place; false where a 64-bit unsigned one is too large. */
static bool load_int(const unsigned char *at, uint8_t type, int64_t *value) {
  size_t size = tx_gguf_value_facts[type].size;
  uint64_t bits = 0;
  memcpy(&bits, at, size);
  switch ((tx_gguf_value_type)type) {
    case TX_GGUF_I8:
      *value = (int8_t)bits;
      return true;
    case TX_GGUF_I16:
      *value = (int16_t)bits;
      return true;
    case TX_GGUF_I32:
      *value = (int32_t)bits;
      return true;
    default:
      *value = (int64_t)bits;
      return type != TX_GGUF_U64 || bits <= INT64_MAX;
  }
}

static double load_float(const unsigned char *at, uint8_t type) {
  if (type == TX_GGUF_F32) {
    float single;
    memcpy(&single, at, sizeof single);
    return (double)single;
  }
  double value;
  memcpy(&value, at, sizeof value);
  return value;
}

static tx_status fail_large(const tx_gguf *gguf, const char *key, uint64_t at, tx_error *error) {
  return BROKEN(gguf, at,
                "key '%s' holds a number beyond 2^63 - 1; the file is damaged, fetch it "
                "again",
                key);
}

tx_status tx_gguf_int(const tx_gguf *gguf, const char *key, int64_t *value, tx_error *error) {
  *value = 0;
  tx_gguf_entry *found = find_value(gguf, key, error);
  if (!found) return TX_ERROR_INPUT;
  if (!is_whole(found->type)) return fail_type(gguf, key, found, "a whole number", error);
  int64_t loaded;
  if (!load_int(gguf->data + found->at, found->type, &loaded)) {
    return fail_large(gguf, key, found->at, error);
  }
  *value = loaded;
  return TX_OK;
}

tx_status tx_gguf_float(const tx_gguf *gguf, const char *key, double *value, tx_error *error) {
  *value = 0;
  tx_gguf_entry *found = find_value(gguf, key, error);
  if (!found) return TX_ERROR_INPUT;
  if (found->type != TX_GGUF_F32 && found->type != TX_GGUF_F64) {
    return fail_type(gguf, key, found, "a real number", error);
  }
  *value = load_float(gguf->data + found->at, found->type);
  return TX_OK;
}

tx_status tx_gguf_bool(const tx_gguf *gguf, const char *key, bool *value, tx_error *error) {
  *value = false;
  tx_gguf_entry *found = find_value(gguf, key, error);
  if (!found) return TX_ERROR_INPUT;
  if (found->type != TX_GGUF_BOOL) return fail_type(gguf, key, found, "true or false", error);
  *value = gguf->data[found->at] == 1;
  return TX_OK;
}

tx_status tx_gguf_string(const tx_gguf *gguf, const char *key, tx_text *value, tx_error *error) {
  *value = (tx_text){"", 0};
  tx_gguf_entry *found = find_value(gguf, key, error);
  if (!found) return TX_ERROR_INPUT;
  if (found->type != TX_GGUF_STRING) return fail_type(gguf, key, found, "a string", error);
  tx_cursor cursor = tx_cursor_make(gguf->data, gguf->size, gguf->path, error);
  cursor.at = found->at;
  return tx_gguf_read_string(&cursor, UINT64_MAX, "a string", value);
}

/* ---- arrays ------------------------------------------------------------ */

/* An array of few bytes each must not become one of many times the file, alone
 * or with the strings that are kept. */
static tx_status check_memory(const tx_gguf *gguf, const char *key, const tx_gguf_entry *value,
                              size_t unit, tx_error *error) {
  uint64_t left = gguf->size + SPARE_BYTES; /* what is kept went through here: it is no more */
  for (size_t i = 0; i < gguf->keys.count; i++) {
    if (gguf->entries[i].strings) left -= gguf->entries[i].count * sizeof(tx_text);
  }
  if (value->count <= left / unit) return TX_OK;
  return BROKEN(gguf, value->at,
                "key '%s' holds %" PRIu64
                " values, more than a file of this size can mean; the file is damaged, fetch it "
                "again",
                key, value->count);
}

static tx_status make_strings(const tx_gguf *gguf, tx_gguf_entry *value, tx_error *error) {
  tx_text *strings = tx_alloc_array((size_t)value->count, sizeof *strings);
  if (!strings) {
    return tx_fail_memory(error, value->count * sizeof *strings, "the strings of a model");
  }
  tx_cursor cursor = tx_cursor_make(gguf->data, gguf->size, gguf->path, error);
  cursor.at = value->at;
  for (uint64_t i = 0; i < value->count; i++) {
    tx_status status = tx_gguf_read_string(&cursor, UINT64_MAX, "a string", &strings[i]);
    if (status != TX_OK) {
      tx_free(strings);
      return status;
    }
  }
  value->strings = strings;
  return TX_OK;
}

tx_status tx_gguf_strings(const tx_gguf *gguf, const char *key, const tx_text **strings,
                          size_t *count, tx_error *error) {
  *strings = NULL;
  *count = 0;
  tx_gguf_entry *found = find_value(gguf, key, error);
  if (!found) return TX_ERROR_INPUT;
  if (found->type != TX_GGUF_ARRAY || found->element != TX_GGUF_STRING) {
    return fail_type(gguf, key, found, "an array of strings", error);
  }
  if (!found->strings) {
    TX_TRY(check_memory(gguf, key, found, sizeof **strings, error));
    TX_TRY(make_strings(gguf, found, error));
  }
  *strings = found->strings;
  *count = (size_t)found->count;
  return TX_OK;
}

tx_status tx_gguf_ints(const tx_gguf *gguf, const char *key, int64_t **values, size_t *count,
                       tx_error *error) {
  *values = NULL;
  *count = 0;
  tx_gguf_entry *found = find_value(gguf, key, error);
  if (!found) return TX_ERROR_INPUT;
  if (found->type != TX_GGUF_ARRAY || !is_whole(found->element)) {
    return fail_type(gguf, key, found, "an array of whole numbers", error);
  }
  TX_TRY(check_memory(gguf, key, found, sizeof **values, error));
  int64_t *made = tx_alloc_array((size_t)found->count, sizeof *made);
  if (!made) return tx_fail_memory(error, found->count * sizeof *made, "the numbers of a model");
  uint64_t size = tx_gguf_value_facts[found->element].size;
  for (uint64_t i = 0; i < found->count; i++) {
    uint64_t at = found->at + i * size;
    if (load_int(gguf->data + at, found->element, &made[i])) continue;
    tx_free(made);
    return fail_large(gguf, key, at, error);
  }
  *values = made;
  *count = (size_t)found->count;
  return TX_OK;
}

tx_status tx_gguf_floats(const tx_gguf *gguf, const char *key, double **values, size_t *count,
                         tx_error *error) {
  *values = NULL;
  *count = 0;
  tx_gguf_entry *found = find_value(gguf, key, error);
  if (!found) return TX_ERROR_INPUT;
  if (found->type != TX_GGUF_ARRAY ||
      (found->element != TX_GGUF_F32 && found->element != TX_GGUF_F64)) {
    return fail_type(gguf, key, found, "an array of real numbers", error);
  }
  TX_TRY(check_memory(gguf, key, found, sizeof **values, error));
  double *made = tx_alloc_array((size_t)found->count, sizeof *made);
  if (!made) return tx_fail_memory(error, found->count * sizeof *made, "the numbers of a model");
  uint64_t size = tx_gguf_value_facts[found->element].size;
  for (uint64_t i = 0; i < found->count; i++) {
    made[i] = load_float(gguf->data + found->at + i * size, found->element);
  }
  *values = made;
  *count = (size_t)found->count;
  return TX_OK;
}
