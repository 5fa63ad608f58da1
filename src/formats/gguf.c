/* Opening a GGUF file: header, keys, tensor table, placement of the data.
 *
 * Nothing is allocated from a count of the file before the count was held
 * against the bytes that are left, and against MAX_NAMES; nothing is pointed to
 * before it was found to lie inside the file.  The arrays of strings (whole
 * vocabularies) are walked once at opening and become tx_text only when asked
 * for.  All numbers are read through tx_cursor.  What a key holds is told by
 * gguf_values.c. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "formats/gguf_parts.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "tensor data is used in place, as little-endian");

enum {
  DEFAULT_ALIGNMENT = 32,
  MIN_ALIGNMENT = 8,
  MAX_ALIGNMENT = 1 << 16,
  MAX_NAMES = 1 << 16,           /* keys, and tensors; the largest models have a few thousand */
  MAX_KEY = 65535,               /* bytes, by the specification */
  MAX_TENSOR_NAME = 64,          /* bytes, by the specification */
  MIN_STRING_BYTES = 8,          /* its length */
  MIN_KEY_BYTES = 8 + 1 + 4 + 1, /* name, type, value */
  MIN_TENSOR_BYTES = 8 + 1 + 4 + 8 + 4 + 8, /* name, dimensions, shape, type, offset */
};

/* The name of a key or a tensor: not empty, no NUL, and new in its table. */
static tx_status read_name(const tx_gguf *gguf, tx_cursor *cursor, const char *kind, uint64_t limit,
                           tx_names *table, tx_error *error) {
  char what[64];
  uint64_t at = cursor->at;
  tx_text name;
  snprintf(what, sizeof what, "the name of %s %zu", kind, table->count + 1);
  TX_TRY(tx_gguf_read_string(cursor, limit, what, &name));
  if (name.size == 0 || memchr(name.data, 0, name.size)) {
    return BROKEN(gguf, at, "%s %s; the file is damaged, fetch it again", what,
                  name.size == 0 ? "is empty" : "holds a NUL byte");
  }
  switch (tx_names_add(table, name)) {
    case TX_NAMES_ADDED:
      return TX_OK;
    case TX_NAMES_TWICE:
      return BROKEN(gguf, at, "%s '%s' appears twice; convert the model again", kind,
                    tx_gguf_show(name).text);
    case TX_NAMES_CROWDED:
      break;
  }
  return BROKEN(gguf, at, "too many names of %ss share a hash; the file was made to do harm", kind);
}

/* `bytes` is the least that one of them takes. */
static tx_status check_count(const tx_gguf *gguf, uint64_t at, uint64_t count, uint64_t left,
                             uint64_t bytes, const char *kind, tx_error *error) {
  if (count > left / bytes) {
    return BROKEN(gguf, at,
                  "the file claims %" PRIu64 " %ss, which %" PRIu64
                  " bytes cannot hold; it is cut short or damaged, fetch it again",
                  count, kind, left);
  }
  if (count > MAX_NAMES) {
    return BROKEN(gguf, at,
                  "the file claims %" PRIu64
                  " %ss, at most %d are read; use a model "
                  "with fewer",
                  count, kind, MAX_NAMES);
  }
  return TX_OK;
}

/* ---- opening: the header ----------------------------------------------- */

static tx_status check_version(const tx_gguf *gguf, uint64_t at, uint32_t version,
                               tx_error *error) {
  if (version == 2 || version == 3) return TX_OK;
  if (version == 1) {
    return BROKEN(gguf, at, "GGUF version 1 is not read, only 2 and 3; convert the model again");
  }
  if (version != 0 && (version & 0xffff) == 0) {
    return BROKEN(gguf, at,
                  "the file is big-endian, only little-endian files are read; convert "
                  "the model again for this kind of machine");
  }
  return BROKEN(gguf, at, "GGUF version %" PRIu32 " is not known, only 2 and 3; %s", version,
                version == 0 ? "the file is damaged, fetch it again"
                             : "use a newer taxon or convert the model again");
}

static tx_status read_header(tx_gguf *gguf, tx_cursor *cursor, uint64_t *tensors, uint64_t *keys,
                             tx_error *error) {
  static const char magic[4] = {'G', 'G', 'U', 'F'};
  if (gguf->size < sizeof magic || memcmp(gguf->data, magic, sizeof magic) != 0) {
    return BROKEN(gguf, 0,
                  "this is not a GGUF file: it %s; name a GGUF file, a model or a classifier",
                  gguf->size == 0 ? "is empty" : "does not begin with 'GGUF'");
  }
  tx_cursor_bytes(cursor, sizeof magic, "the magic");
  uint32_t version = tx_cursor_u32(cursor, "the version");
  if (cursor->failed) return TX_ERROR_INPUT;
  TX_TRY(check_version(gguf, sizeof magic, version, error));
  *tensors = tx_cursor_u64(cursor, "the number of tensors");
  *keys = tx_cursor_u64(cursor, "the number of keys");
  if (cursor->failed) return TX_ERROR_INPUT;
  uint64_t left = tx_cursor_left(cursor);
  TX_TRY(check_count(gguf, 8, *tensors, left, MIN_TENSOR_BYTES, "tensor", error));
  return check_count(gguf, 16, *keys, left, MIN_KEY_BYTES, "key", error);
}

/* ---- opening: the keys ------------------------------------------------- */

static tx_status check_bools(const tx_gguf *gguf, const unsigned char *bytes, uint64_t count,
                             tx_text key, tx_error *error) {
  for (uint64_t i = 0; i < count; i++) {
    if (bytes[i] > 1) {
      return BROKEN(gguf, (uint64_t)(bytes - gguf->data) + i,
                    "key '%s' holds %d where only 0 and 1 are allowed; the file is damaged, fetch "
                    "it again",
                    tx_gguf_show(key).text, bytes[i]);
    }
  }
  return TX_OK;
}

static tx_status read_array(tx_gguf *gguf, tx_cursor *cursor, tx_text key, tx_gguf_entry *value,
                            tx_error *error) {
  char what[TX_GGUF_SHOWN + 32];
  snprintf(what, sizeof what, "the value of key '%s'", tx_gguf_show(key).text);
  uint64_t at = cursor->at;
  uint32_t element = tx_cursor_u32(cursor, what);
  uint64_t count = tx_cursor_u64(cursor, what);
  if (cursor->failed) return TX_ERROR_INPUT;
  if (element >= TX_GGUF_TYPES || element == TX_GGUF_ARRAY) {
    return BROKEN(gguf, at,
                  "key '%s' is an array of %s (type %" PRIu32
                  "), which is not read; convert the model again",
                  tx_gguf_show(key).text, element == TX_GGUF_ARRAY ? "arrays" : "an unknown type",
                  element);
  }
  uint64_t least = tx_gguf_value_facts[element].size;
  if (element == TX_GGUF_STRING) least = MIN_STRING_BYTES;
  if (count > tx_cursor_left(cursor) / least) {
    return BROKEN(gguf, at + 4,
                  "key '%s' claims %" PRIu64 " values, which %" PRIu64
                  " bytes cannot hold; the file is cut short or damaged, fetch it again",
                  tx_gguf_show(key).text, count, tx_cursor_left(cursor));
  }
  value->element = (uint8_t)element;
  value->count = count;
  value->at = cursor->at;
  if (element != TX_GGUF_STRING) {
    const unsigned char *bytes = tx_cursor_bytes(cursor, count * least, what);
    if (element == TX_GGUF_BOOL) TX_TRY(check_bools(gguf, bytes, count, key, error));
    return TX_OK;
  }
  for (uint64_t i = 0; i < count; i++) {
    tx_text text;
    TX_TRY(tx_gguf_read_string(cursor, UINT64_MAX, what, &text));
  }
  return TX_OK;
}

static tx_status read_value(tx_gguf *gguf, tx_cursor *cursor, tx_text key, tx_gguf_entry *value,
                            tx_error *error) {
  char what[TX_GGUF_SHOWN + 32];
  snprintf(what, sizeof what, "the value of key '%s'", tx_gguf_show(key).text);
  uint64_t at = cursor->at;
  uint32_t type = tx_cursor_u32(cursor, what);
  if (cursor->failed) return TX_ERROR_INPUT;
  if (type >= TX_GGUF_TYPES) {
    return BROKEN(gguf, at,
                  "key '%s' has the unknown type %" PRIu32 "; fetch it again or use a newer taxon",
                  tx_gguf_show(key).text, type);
  }
  *value = (tx_gguf_entry){.type = (uint8_t)type, .at = cursor->at};
  if (type == TX_GGUF_ARRAY) return read_array(gguf, cursor, key, value, error);
  if (type == TX_GGUF_STRING) {
    tx_text text;
    return tx_gguf_read_string(cursor, UINT64_MAX, what, &text);
  }
  const unsigned char *bytes = tx_cursor_bytes(cursor, tx_gguf_value_facts[type].size, what);
  if (!bytes) return TX_ERROR_INPUT;
  return type == TX_GGUF_BOOL ? check_bools(gguf, bytes, 1, key, error) : TX_OK;
}

static tx_status read_keys(tx_gguf *gguf, tx_cursor *cursor, uint64_t count, tx_error *error) {
  gguf->entries = tx_alloc_zero((size_t)count, sizeof *gguf->entries);
  if (!gguf->entries || !tx_names_reserve(&gguf->keys, (size_t)count)) {
    return tx_fail_memory(error, count * sizeof *gguf->entries, "the keys of a model");
  }
  while (gguf->keys.count < count) {
    size_t index = gguf->keys.count;
    TX_TRY(read_name(gguf, cursor, "key", MAX_KEY, &gguf->keys, error));
    TX_TRY(read_value(gguf, cursor, gguf->keys.items[index], &gguf->entries[index], error));
  }
  return TX_OK;
}

static tx_status read_alignment(tx_gguf *gguf, tx_error *error) {
  size_t index;
  gguf->alignment = DEFAULT_ALIGNMENT;
  if (!tx_names_find(&gguf->keys, "general.alignment", &index)) return TX_OK;
  const tx_gguf_entry *value = &gguf->entries[index];
  if (value->type != TX_GGUF_U32) {
    return BROKEN(gguf, value->at,
                  "key 'general.alignment' is not a 32-bit unsigned number; "
                  "convert the model again");
  }
  uint32_t alignment;
  memcpy(&alignment, gguf->data + value->at, sizeof alignment);
  if (alignment < MIN_ALIGNMENT || alignment > MAX_ALIGNMENT ||
      (alignment & (alignment - 1)) != 0) {
    return BROKEN(gguf, value->at,
                  "an alignment of %" PRIu32
                  " is not a power of two from %d to "
                  "%d; convert the model again",
                  alignment, MIN_ALIGNMENT, MAX_ALIGNMENT);
  }
  gguf->alignment = alignment;
  return TX_OK;
}

/* ---- opening: the tensors ---------------------------------------------- */

static tx_status read_shape(tx_gguf *gguf, tx_cursor *cursor, tx_text name, tx_tensor *tensor,
                            uint64_t *values, tx_error *error) {
  uint64_t at = cursor->at;
  uint32_t dimensions = tx_cursor_u32(cursor, "the shape of a tensor");
  if (cursor->failed) return TX_ERROR_INPUT;
  if (dimensions < 1 || dimensions > TX_TENSOR_DIMENSIONS) {
    return BROKEN(gguf, at,
                  "tensor '%s' has %" PRIu32
                  " dimensions, 1 to %d are read; convert the "
                  "model again",
                  tx_gguf_show(name).text, dimensions, TX_TENSOR_DIMENSIONS);
  }
  tensor->dimensions = (int)dimensions;
  *values = 1;
  for (uint32_t i = 0; i < TX_TENSOR_DIMENSIONS; i++) {
    tensor->shape[i] = 1;
    if (i >= dimensions) continue;
    at = cursor->at;
    uint64_t extent = tx_cursor_u64(cursor, "the shape of a tensor");
    if (cursor->failed) return TX_ERROR_INPUT;
    if (extent == 0) {
      return BROKEN(gguf, at,
                    "tensor '%s' has no values: dimension %" PRIu32
                    " is 0; convert the model again",
                    tx_gguf_show(name).text, i + 1);
    }
    if (extent > INT64_MAX || !tx_multiply(*values, extent, values) || *values > INT64_MAX) {
      return BROKEN(gguf, at,
                    "the shape of tensor '%s' overflows at dimension %" PRIu32 " (%" PRIu64
                    "); the file is damaged, fetch it again",
                    tx_gguf_show(name).text, i + 1, extent);
    }
    tensor->shape[i] = (int64_t)extent;
  }
  return TX_OK;
}

static tx_status read_type(tx_gguf *gguf, tx_cursor *cursor, tx_text name, tx_tensor *tensor,
                           uint64_t values, tx_error *error) {
  uint64_t at = cursor->at;
  uint32_t type = tx_cursor_u32(cursor, "the type of a tensor");
  tx_tensor_type_facts facts;
  if (cursor->failed) return TX_ERROR_INPUT;
  if (!tx_tensor_type_find(type, &facts)) {
    return BROKEN(gguf, at,
                  "tensor '%s' is stored as ggml type %" PRIu32
                  ", which this program does not read; convert it to Q8_0 or F16 (llama-quantize "
                  "does) or fetch another file of the model",
                  tx_gguf_show(name).text, type);
  }
  if (tensor->shape[0] % facts.block != 0) {
    return BROKEN(gguf, at,
                  "tensor '%s' has rows of %" PRId64 " values, not whole blocks of %" PRId64
                  " as %s needs; convert the model again",
                  tx_gguf_show(name).text, tensor->shape[0], facts.block, facts.name);
  }
  if (!tx_multiply(values / (uint64_t)facts.block, (uint64_t)facts.block_bytes, &tensor->size)) {
    return BROKEN(gguf, at,
                  "the size in bytes of tensor '%s' overflows; the file is damaged, "
                  "fetch it again",
                  tx_gguf_show(name).text);
  }
  tensor->type = (tx_tensor_type)type;
  return TX_OK;
}

/* `tensor->offset` counts from the start of the data here; place_tensor()
 * makes it count from the start of the file. */
static tx_status read_tensor(tx_gguf *gguf, tx_cursor *cursor, tx_tensor *tensor, tx_error *error) {
  uint64_t values;
  TX_TRY(read_name(gguf, cursor, "tensor", MAX_TENSOR_NAME, &gguf->tensor_names, error));
  tx_text name = gguf->tensor_names.items[gguf->tensor_names.count - 1];
  TX_TRY(read_shape(gguf, cursor, name, tensor, &values, error));
  TX_TRY(read_type(gguf, cursor, name, tensor, values, error));
  uint64_t at = cursor->at;
  tensor->offset = tx_cursor_u64(cursor, "the offset of a tensor");
  if (cursor->failed) return TX_ERROR_INPUT;
  if (tensor->offset % gguf->alignment != 0) {
    return BROKEN(gguf, at,
                  "the offset %" PRIu64 " of tensor '%s' is not a multiple of %" PRIu32
                  "; the file is damaged, fetch it again",
                  tensor->offset, tx_gguf_show(name).text, gguf->alignment);
  }
  return TX_OK;
}

static tx_status place_tensor(tx_gguf *gguf, uint64_t start, tx_text name, tx_tensor *tensor,
                              tx_error *error) {
  uint64_t from, end;
  if (!tx_add(start, tensor->offset, &from) || !tx_add(from, tensor->size, &end) ||
      end > gguf->size) {
    return BROKEN(gguf, gguf->size,
                  "the file ends before the data of tensor '%s' does (%" PRIu64
                  " bytes at offset %" PRIu64 " from byte %" PRIu64
                  "); it is cut short or damaged, fetch it again",
                  tx_gguf_show(name).text, tensor->size, tensor->offset, start);
  }
  tensor->offset = from;
  tensor->data = gguf->data + from;
  return TX_OK;
}

/* Equal offsets in the order of the table, so that a message is always the same. */
static int compare_offsets(const void *left, const void *right) {
  const tx_tensor *a = *(const tx_tensor *const *)left, *b = *(const tx_tensor *const *)right;
  if (a->offset != b->offset) return a->offset < b->offset ? -1 : 1;
  return (a > b) - (a < b);
}

static tx_status check_overlaps(const tx_gguf *gguf, tx_error *error) {
  size_t count = gguf->tensor_names.count;
  const tx_tensor **sorted = tx_alloc_array(count, sizeof *sorted);
  if (!sorted) return tx_fail_memory(error, count * sizeof *sorted, "the tensors of a model");
  for (size_t i = 0; i < count; i++) sorted[i] = &gguf->tensors[i];
  qsort(sorted, count, sizeof *sorted, compare_offsets);
  tx_status status = TX_OK;
  for (size_t i = 1; i < count && status == TX_OK; i++) {
    if (sorted[i - 1]->offset + sorted[i - 1]->size <= sorted[i]->offset) continue;
    tx_text first = gguf->tensor_names.items[sorted[i - 1] - gguf->tensors];
    tx_text second = gguf->tensor_names.items[sorted[i] - gguf->tensors];
    status = BROKEN(gguf, sorted[i]->offset,
                    "the data of tensors '%s' and '%s' overlap; the file "
                    "is damaged, fetch it again",
                    tx_gguf_show(first).text, tx_gguf_show(second).text);
  }
  tx_free(sorted);
  return status;
}

static tx_status copy_names(tx_gguf *gguf, tx_error *error) {
  size_t bytes = 0;
  for (size_t i = 0; i < gguf->tensor_names.count; i++) {
    bytes += gguf->tensor_names.items[i].size + 1;
  }
  char *place = gguf->name_copies = tx_alloc(bytes);
  if (!place) return tx_fail_memory(error, bytes, "the tensors of a model");
  for (size_t i = 0; i < gguf->tensor_names.count; i++) {
    tx_text name = gguf->tensor_names.items[i];
    memcpy(place, name.data, name.size);
    place[name.size] = '\0';
    gguf->tensors[i].name = place;
    place += name.size + 1;
  }
  return TX_OK;
}

static tx_status read_tensors(tx_gguf *gguf, tx_cursor *cursor, uint64_t count, tx_error *error) {
  gguf->tensors = tx_alloc_zero((size_t)count, sizeof *gguf->tensors);
  if (!gguf->tensors || !tx_names_reserve(&gguf->tensor_names, (size_t)count)) {
    return tx_fail_memory(error, count * sizeof *gguf->tensors, "the tensors of a model");
  }
  while (gguf->tensor_names.count < count) {
    TX_TRY(read_tensor(gguf, cursor, &gguf->tensors[gguf->tensor_names.count], error));
  }
  uint64_t mask = gguf->alignment - 1;
  uint64_t start = (cursor->at + mask) & ~mask; /* at <= the size of a file, far below 2^64 */
  for (size_t i = 0; i < count; i++) {
    TX_TRY(place_tensor(gguf, start, gguf->tensor_names.items[i], &gguf->tensors[i], error));
  }
  TX_TRY(check_overlaps(gguf, error));
  return copy_names(gguf, error);
}

/* ---- opening and closing ----------------------------------------------- */

static tx_status parse(tx_gguf *gguf, tx_error *error) {
  tx_cursor cursor = tx_cursor_make(gguf->data, gguf->size, gguf->path, error);
  uint64_t tensors = 0, keys = 0;
  TX_TRY(read_header(gguf, &cursor, &tensors, &keys, error));
  TX_TRY(read_keys(gguf, &cursor, keys, error));
  TX_TRY(read_alignment(gguf, error));
  return read_tensors(gguf, &cursor, tensors, error);
}

tx_status tx_gguf_open_bytes(const void *data, uint64_t size, const char *name, tx_gguf **gguf,
                             tx_error *error) {
  *gguf = NULL;
  tx_gguf *made = tx_alloc_zero(1, sizeof *made);
  char *path = tx_copy_string(name);
  if (!made || !path) {
    tx_free(made);
    tx_free(path);
    return tx_fail_memory(error, sizeof *made, "a model file");
  }
  made->path = path;
  made->data = data;
  made->size = size;
  tx_status status = parse(made, error);
  if (status == TX_OK) {
    *gguf = made;
  } else {
    tx_gguf_close(made);
  }
  return status;
}

tx_status tx_gguf_open(const char *path, tx_gguf **gguf, tx_error *error) {
  tx_map map;
  *gguf = NULL;
  TX_TRY(tx_map_open(path, &map, error));
  tx_status status = tx_gguf_open_bytes(map.data, map.size, path, gguf, error);
  if (status == TX_OK) {
    (*gguf)->map = map;
  } else {
    tx_map_close(&map);
  }
  return status;
}

void tx_gguf_close(tx_gguf *gguf) {
  if (!gguf) return;
  for (size_t i = 0; i < gguf->keys.count; i++) tx_free(gguf->entries[i].strings);
  tx_free(gguf->entries);
  tx_free(gguf->tensors);
  tx_free(gguf->name_copies);
  tx_names_free(&gguf->keys);
  tx_names_free(&gguf->tensor_names);
  tx_map_close(&gguf->map);
  tx_free(gguf->path);
  tx_free(gguf);
}

const char *tx_gguf_path(const tx_gguf *gguf) { return gguf->path; }

const unsigned char *tx_gguf_bytes(const tx_gguf *gguf, uint64_t *size) {
  *size = gguf->size;
  return gguf->data;
}

size_t tx_gguf_tensor_count(const tx_gguf *gguf) { return gguf->tensor_names.count; }

const tx_tensor *tx_gguf_tensor_at(const tx_gguf *gguf, size_t index) {
  return index < gguf->tensor_names.count ? &gguf->tensors[index] : NULL;
}

const tx_tensor *tx_gguf_tensor(const tx_gguf *gguf, const char *name) {
  size_t index;
  return tx_names_find(&gguf->tensor_names, name, &index) ? &gguf->tensors[index] : NULL;
}
