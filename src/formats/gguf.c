/* The GGUF reader: header, keys, tensor table, placement of the data.
 *
 * Nothing is allocated from a count of the file before the count was held
 * against the bytes that are left, and against MAX_NAMES; nothing is pointed to
 * before it was found to lie inside the file.  The arrays of strings (whole
 * vocabularies) are walked once at opening and become tx_text only when asked
 * for.  All numbers are read through tx_cursor. */
#include "formats/gguf.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cursor.h"
#include "base/memory.h"
#include "formats/file.h"
#include "formats/names.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "tensor data is used in place, as little-endian");

typedef enum value_type {
  VALUE_U8,
  VALUE_I8,
  VALUE_U16,
  VALUE_I16,
  VALUE_U32,
  VALUE_I32,
  VALUE_F32,
  VALUE_BOOL,
  VALUE_STRING,
  VALUE_ARRAY,
  VALUE_U64,
  VALUE_I64,
  VALUE_F64,
  VALUE_TYPES
} value_type;

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
  SPARE_BYTES = 16 << 20,                   /* memory allowed beyond the size of the file */
  SHOWN = 64                                /* bytes of a name in a message */
};

#define WHOLE "a whole number", "an array of whole numbers"
#define REAL "a real number", "an array of real numbers"

static const struct {
  const char *one, *many; /* as a sentence wants it */
  uint32_t size;          /* bytes; 0: no fixed size */
} value_facts[VALUE_TYPES] = {
    [VALUE_U8] = {WHOLE, 1},
    [VALUE_I8] = {WHOLE, 1},
    [VALUE_U16] = {WHOLE, 2},
    [VALUE_I16] = {WHOLE, 2},
    [VALUE_U32] = {WHOLE, 4},
    [VALUE_I32] = {WHOLE, 4},
    [VALUE_F32] = {REAL, 4},
    [VALUE_BOOL] = {"true or false", "an array of true and false", 1},
    [VALUE_STRING] = {"a string", "an array of strings", 0},
    [VALUE_ARRAY] = {"an array", "an array of arrays", 0},
    [VALUE_U64] = {WHOLE, 8},
    [VALUE_I64] = {WHOLE, 8},
    [VALUE_F64] = {REAL, 8},
};

typedef struct entry {
  uint8_t type, element; /* value_type; `element` of arrays only */
  uint64_t at;           /* of the value; of an array its first element */
  uint64_t count;        /* of an array */
  tx_text *strings;      /* of an array of strings, once asked for */
} entry;

struct tx_gguf {
  char *path;
  tx_map map; /* closed with the handle; empty when the bytes are borrowed */
  const unsigned char *data;
  uint64_t size;
  uint32_t alignment;
  tx_names keys, tensor_names;
  entry *entries;     /* (keys.count) */
  tx_tensor *tensors; /* (tensor_names.count) */
  char *name_copies;  /* the NUL-terminated names of the tensors */
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

/* ---- messages ------------------------------------------------------------- */

typedef struct shown {
  char text[SHOWN + 4];
} shown;

/* A name of the file as a message can carry it: short, and no control bytes. */
static shown show(tx_text name) {
  shown result;
  size_t size = name.size < SHOWN ? name.size : SHOWN;
  for (size_t i = 0; i < size; i++) {
    char byte = name.data[i];
    result.text[i] = byte >= 0x20 && byte < 0x7f ? byte : '?';
  }
  memcpy(result.text + size, size < name.size ? "..." : "", size < name.size ? 4 : 1);
  return result;
}

/* ---- opening: shared --------------------------------------------------- */

/* Every message about the file's contents names the file and a byte of it. */
#define BROKEN(gguf, at, ...) tx_fail_byte(error, TX_ERROR_INPUT, (gguf)->path, at, __VA_ARGS__)

/* The length, then the bytes.  `what` names it for messages. */
static tx_status read_string(tx_cursor *cursor, uint64_t limit, const char *what, tx_text *text) {
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

/* The name of a key or a tensor: not empty, no NUL, and new in its table. */
static tx_status read_name(const tx_gguf *gguf, tx_cursor *cursor, const char *kind, uint64_t limit,
                           tx_names *table, tx_error *error) {
  char what[64];
  uint64_t at = cursor->at;
  tx_text name;
  snprintf(what, sizeof what, "the name of %s %zu", kind, table->count + 1);
  TX_TRY(read_string(cursor, limit, what, &name));
  if (name.size == 0 || memchr(name.data, 0, name.size)) {
    return BROKEN(gguf, at, "%s %s; the file is damaged, fetch it again", what,
                  name.size == 0 ? "is empty" : "holds a NUL byte");
  }
  switch (tx_names_add(table, name)) {
    case TX_NAMES_ADDED:
      return TX_OK;
    case TX_NAMES_TWICE:
      return BROKEN(gguf, at, "%s '%s' appears twice; convert the model again", kind,
                    show(name).text);
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
                    show(key).text, bytes[i]);
    }
  }
  return TX_OK;
}

static tx_status read_array(tx_gguf *gguf, tx_cursor *cursor, tx_text key, entry *value,
                            tx_error *error) {
  char what[SHOWN + 32];
  snprintf(what, sizeof what, "the value of key '%s'", show(key).text);
  uint64_t at = cursor->at;
  uint32_t element = tx_cursor_u32(cursor, what);
  uint64_t count = tx_cursor_u64(cursor, what);
  if (cursor->failed) return TX_ERROR_INPUT;
  if (element >= VALUE_TYPES || element == VALUE_ARRAY) {
    return BROKEN(gguf, at,
                  "key '%s' is an array of %s (type %" PRIu32
                  "), which is not read; convert the model again",
                  show(key).text, element == VALUE_ARRAY ? "arrays" : "an unknown type", element);
  }
  uint64_t least = value_facts[element].size ? value_facts[element].size : MIN_STRING_BYTES;
  if (count > tx_cursor_left(cursor) / least) {
    return BROKEN(gguf, at + 4,
                  "key '%s' claims %" PRIu64 " values, which %" PRIu64
                  " bytes cannot hold; the file is cut short or damaged, fetch it again",
                  show(key).text, count, tx_cursor_left(cursor));
  }
  value->element = (uint8_t)element;
  value->count = count;
  value->at = cursor->at;
  if (element != VALUE_STRING) {
    const unsigned char *bytes = tx_cursor_bytes(cursor, count * least, what);
    if (element == VALUE_BOOL) TX_TRY(check_bools(gguf, bytes, count, key, error));
    return TX_OK;
  }
  for (uint64_t i = 0; i < count; i++) {
    tx_text text;
    TX_TRY(read_string(cursor, UINT64_MAX, what, &text));
  }
  return TX_OK;
}

static tx_status read_value(tx_gguf *gguf, tx_cursor *cursor, tx_text key, entry *value,
                            tx_error *error) {
  char what[SHOWN + 32];
  snprintf(what, sizeof what, "the value of key '%s'", show(key).text);
  uint64_t at = cursor->at;
  uint32_t type = tx_cursor_u32(cursor, what);
  if (cursor->failed) return TX_ERROR_INPUT;
  if (type >= VALUE_TYPES) {
    return BROKEN(gguf, at,
                  "key '%s' has the unknown type %" PRIu32 "; fetch it again or use a newer taxon",
                  show(key).text, type);
  }
  *value = (entry){.type = (uint8_t)type, .at = cursor->at};
  if (type == VALUE_ARRAY) return read_array(gguf, cursor, key, value, error);
  if (type == VALUE_STRING) {
    tx_text text;
    return read_string(cursor, UINT64_MAX, what, &text);
  }
  const unsigned char *bytes = tx_cursor_bytes(cursor, value_facts[type].size, what);
  if (!bytes) return TX_ERROR_INPUT;
  return type == VALUE_BOOL ? check_bools(gguf, bytes, 1, key, error) : TX_OK;
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
  const entry *value = &gguf->entries[index];
  if (value->type != VALUE_U32) {
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
                  show(name).text, dimensions, TX_TENSOR_DIMENSIONS);
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
                    show(name).text, i + 1);
    }
    if (extent > INT64_MAX || !tx_multiply(*values, extent, values) || *values > INT64_MAX) {
      return BROKEN(gguf, at,
                    "the shape of tensor '%s' overflows at dimension %" PRIu32 " (%" PRIu64
                    "); the file is damaged, fetch it again",
                    show(name).text, i + 1, extent);
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
                  show(name).text, type);
  }
  if (tensor->shape[0] % facts.block != 0) {
    return BROKEN(gguf, at,
                  "tensor '%s' has rows of %" PRId64 " values, not whole blocks of %" PRId64
                  " as %s needs; convert the model again",
                  show(name).text, tensor->shape[0], facts.block, facts.name);
  }
  if (!tx_multiply(values / (uint64_t)facts.block, (uint64_t)facts.block_bytes, &tensor->size)) {
    return BROKEN(gguf, at,
                  "the size in bytes of tensor '%s' overflows; the file is damaged, "
                  "fetch it again",
                  show(name).text);
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
                  tensor->offset, show(name).text, gguf->alignment);
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
                  show(name).text, tensor->size, tensor->offset, start);
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
                    show(first).text, show(second).text);
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

/* ---- values ------------------------------------------------------------ */

bool tx_gguf_has(const tx_gguf *gguf, const char *key) {
  size_t index;
  return tx_names_find(&gguf->keys, key, &index);
}

/* NULL, with the failure, where there is none. */
static entry *find_value(const tx_gguf *gguf, const char *key, tx_error *error) {
  size_t index;
  if (tx_names_find(&gguf->keys, key, &index)) return &gguf->entries[index];
  tx_fail_line(error, TX_ERROR_INPUT, gguf->path, 0,
               "key '%s' is missing; the file is of another kind or was not converted completely, "
               "fetch or convert it again",
               key);
  return NULL;
}

static tx_status fail_type(const tx_gguf *gguf, const char *key, const entry *value,
                           const char *wanted, tx_error *error) {
  const char *is =
      value->type == VALUE_ARRAY ? value_facts[value->element].many : value_facts[value->type].one;
  return BROKEN(gguf, value->at, "key '%s' is %s, not %s; convert the model again", key, is,
                wanted);
}

static bool is_whole(uint8_t type) {
  switch ((value_type)type) {
    case VALUE_U8:
    case VALUE_I8:
    case VALUE_U16:
    case VALUE_I16:
    case VALUE_U32:
    case VALUE_I32:
    case VALUE_U64:
    case VALUE_I64:
      return true;
    default:
      return false;
  }
}

/* One number of a checked place; false where a 64-bit unsigned one is too large. */
static bool load_int(const unsigned char *at, uint8_t type, int64_t *value) {
  size_t size = value_facts[type].size;
  uint64_t bits = 0;
  memcpy(&bits, at, size);
  switch ((value_type)type) {
    case VALUE_I8:
      *value = (int8_t)bits;
      return true;
    case VALUE_I16:
      *value = (int16_t)bits;
      return true;
    case VALUE_I32:
      *value = (int32_t)bits;
      return true;
    default:
      *value = (int64_t)bits;
      return type != VALUE_U64 || bits <= INT64_MAX;
  }
}

static double load_float(const unsigned char *at, uint8_t type) {
  if (type == VALUE_F32) {
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
  entry *found = find_value(gguf, key, error);
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
  entry *found = find_value(gguf, key, error);
  if (!found) return TX_ERROR_INPUT;
  if (found->type != VALUE_F32 && found->type != VALUE_F64) {
    return fail_type(gguf, key, found, "a real number", error);
  }
  *value = load_float(gguf->data + found->at, found->type);
  return TX_OK;
}

tx_status tx_gguf_bool(const tx_gguf *gguf, const char *key, bool *value, tx_error *error) {
  *value = false;
  entry *found = find_value(gguf, key, error);
  if (!found) return TX_ERROR_INPUT;
  if (found->type != VALUE_BOOL) return fail_type(gguf, key, found, "true or false", error);
  *value = gguf->data[found->at] == 1;
  return TX_OK;
}

tx_status tx_gguf_string(const tx_gguf *gguf, const char *key, tx_text *value, tx_error *error) {
  *value = (tx_text){"", 0};
  entry *found = find_value(gguf, key, error);
  if (!found) return TX_ERROR_INPUT;
  if (found->type != VALUE_STRING) return fail_type(gguf, key, found, "a string", error);
  tx_cursor cursor = tx_cursor_make(gguf->data, gguf->size, gguf->path, error);
  cursor.at = found->at;
  return read_string(&cursor, UINT64_MAX, "a string", value);
}

/* ---- arrays ------------------------------------------------------------ */

/* An array of few bytes each must not become one of many times the file. */
static tx_status check_memory(const tx_gguf *gguf, const char *key, const entry *value, size_t unit,
                              tx_error *error) {
  if (value->count <= (gguf->size + SPARE_BYTES) / unit) return TX_OK;
  return BROKEN(gguf, value->at,
                "key '%s' holds %" PRIu64
                " values, more than a file of this size can mean; the file is damaged, fetch it "
                "again",
                key, value->count);
}

static tx_status make_strings(const tx_gguf *gguf, entry *value, tx_error *error) {
  tx_text *strings = tx_alloc_array((size_t)value->count, sizeof *strings);
  if (!strings) {
    return tx_fail_memory(error, value->count * sizeof *strings, "the strings of a model");
  }
  tx_cursor cursor = tx_cursor_make(gguf->data, gguf->size, gguf->path, error);
  cursor.at = value->at;
  for (uint64_t i = 0; i < value->count; i++) {
    tx_status status = read_string(&cursor, UINT64_MAX, "a string", &strings[i]);
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
  entry *found = find_value(gguf, key, error);
  if (!found) return TX_ERROR_INPUT;
  if (found->type != VALUE_ARRAY || found->element != VALUE_STRING) {
    return fail_type(gguf, key, found, "an array of strings", error);
  }
  TX_TRY(check_memory(gguf, key, found, sizeof **strings, error));
  if (!found->strings) TX_TRY(make_strings(gguf, found, error));
  *strings = found->strings;
  *count = (size_t)found->count;
  return TX_OK;
}

tx_status tx_gguf_ints(const tx_gguf *gguf, const char *key, int64_t **values, size_t *count,
                       tx_error *error) {
  *values = NULL;
  *count = 0;
  entry *found = find_value(gguf, key, error);
  if (!found) return TX_ERROR_INPUT;
  if (found->type != VALUE_ARRAY || !is_whole(found->element)) {
    return fail_type(gguf, key, found, "an array of whole numbers", error);
  }
  TX_TRY(check_memory(gguf, key, found, sizeof **values, error));
  int64_t *made = tx_alloc_array((size_t)found->count, sizeof *made);
  if (!made) return tx_fail_memory(error, found->count * sizeof *made, "the numbers of a model");
  uint64_t size = value_facts[found->element].size;
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
  entry *found = find_value(gguf, key, error);
  if (!found) return TX_ERROR_INPUT;
  if (found->type != VALUE_ARRAY || (found->element != VALUE_F32 && found->element != VALUE_F64)) {
    return fail_type(gguf, key, found, "an array of real numbers", error);
  }
  TX_TRY(check_memory(gguf, key, found, sizeof **values, error));
  double *made = tx_alloc_array((size_t)found->count, sizeof *made);
  if (!made) return tx_fail_memory(error, found->count * sizeof *made, "the numbers of a model");
  uint64_t size = value_facts[found->element].size;
  for (uint64_t i = 0; i < found->count; i++) {
    made[i] = load_float(gguf->data + found->at + i * size, found->element);
  }
  *values = made;
  *count = (size_t)found->count;
  return TX_OK;
}
