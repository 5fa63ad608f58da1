/* The GGUF writer: keys and tensor facts are encoded as they are added, the
 * tensors' data is copied only at commit, straight into the file.  Whatever the
 * reader (gguf.c) would refuse is refused here, at the add that caused it. */
#include "formats/gguf_write.h"

#include <inttypes.h>
#include <string.h>

#include "base/buffer.h"
#include "base/memory.h"
#include "formats/gguf_parts.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "numbers are written as they lie");

enum { ALIGNMENT = 32, MAX_KEY = 65535, MAX_TENSOR_NAME = 63, MAX_NAMES = 1 << 16 };

typedef struct payload {
  const void *data; /* borrowed; NULL: of `rows` */
  uint64_t size;
  const tx_rows *rows;
  bool half;
} payload;

struct tx_gguf_writer {
  tx_buffer keys, tensors;           /* as they stand in the file */
  tx_buffer key_names, tensor_names; /* NUL after each: what is there already */
  tx_buffer payloads;                /* payload for each tensor */
  uint64_t key_count, tensor_count;
  uint64_t offset; /* of the next tensor, from the start of the data */
  tx_error error;  /* the first failed add */
};

tx_gguf_writer *tx_gguf_writer_new(void) { return tx_alloc_zero(1, sizeof(tx_gguf_writer)); }

void tx_gguf_writer_free(tx_gguf_writer *writer) {
  if (!writer) return;
  tx_buffer_free(&writer->keys);
  tx_buffer_free(&writer->tensors);
  tx_buffer_free(&writer->key_names);
  tx_buffer_free(&writer->tensor_names);
  tx_buffer_free(&writer->payloads);
  tx_free(writer);
}

#define MISUSED(writer, ...) tx_fail(&(writer)->error, TX_ERROR_ARGUMENT, __VA_ARGS__)

static void put_u32(tx_buffer *buffer, uint32_t value) {
  tx_buffer_append(buffer, &value, sizeof value);
}

static void put_u64(tx_buffer *buffer, uint64_t value) {
  tx_buffer_append(buffer, &value, sizeof value);
}

static void put_string(tx_buffer *buffer, tx_text text) {
  put_u64(buffer, text.size);
  tx_buffer_append(buffer, text.data, text.size);
}

/* ---- keys -------------------------------------------------------------- */

/* There are a few hundred names: looking through them all is quick enough. */
static bool is_listed(const tx_buffer *list, const char *name) {
  for (size_t at = 0; at < list->size; at += strlen(list->data + at) + 1) {
    if (strcmp(list->data + at, name) == 0) return true;
  }
  return false;
}

/* Enters the name of a key or a tensor; false when it must not be added. */
static bool take_name(tx_gguf_writer *writer, const char *kind, const char *name, size_t limit,
                      tx_buffer *list, uint64_t *count) {
  if (writer->error.status != TX_OK) return false;
  if (name[0] == '\0' || strlen(name) > limit) {
    MISUSED(writer, "the name of a %s has %zu bytes, it needs 1 to %zu; choose another name", kind,
            strlen(name), limit);
  } else if (is_listed(list, name)) {
    MISUSED(writer, "%s '%s' is added twice; add it once", kind, name);
  } else if (*count == MAX_NAMES) {
    MISUSED(writer, "there are more than %d %ss; add fewer", MAX_NAMES, kind);
  } else {
    tx_buffer_append(list, name, strlen(name) + 1);
    ++*count;
    return true;
  }
  return false;
}

static bool begin_key(tx_gguf_writer *writer, const char *key, uint32_t type) {
  if (strcmp(key, "general.alignment") == 0) {
    MISUSED(writer, "key 'general.alignment' is not the caller's: it is always %d; leave it out",
            ALIGNMENT);
    return false;
  }
  if (!take_name(writer, "key", key, MAX_KEY, &writer->key_names, &writer->key_count)) {
    return false;
  }
  put_string(&writer->keys, tx_text_of(key));
  put_u32(&writer->keys, type);
  return true;
}

static bool begin_array(tx_gguf_writer *writer, const char *key, uint32_t element, size_t count) {
  if (!begin_key(writer, key, TX_GGUF_ARRAY)) return false;
  put_u32(&writer->keys, element);
  put_u64(&writer->keys, count);
  return true;
}

void tx_gguf_add_int(tx_gguf_writer *writer, const char *key, int64_t value) {
  if (begin_key(writer, key, TX_GGUF_I64)) put_u64(&writer->keys, (uint64_t)value);
}

void tx_gguf_add_u32(tx_gguf_writer *writer, const char *key, uint32_t value) {
  if (begin_key(writer, key, TX_GGUF_U32)) put_u32(&writer->keys, value);
}

void tx_gguf_add_float(tx_gguf_writer *writer, const char *key, double value) {
  if (begin_key(writer, key, TX_GGUF_F64)) {
    tx_buffer_append(&writer->keys, &value, sizeof value);
  }
}

void tx_gguf_add_bool(tx_gguf_writer *writer, const char *key, bool value) {
  if (begin_key(writer, key, TX_GGUF_BOOL)) tx_buffer_append_byte(&writer->keys, value ? 1 : 0);
}

void tx_gguf_add_string(tx_gguf_writer *writer, const char *key, tx_text value) {
  if (begin_key(writer, key, TX_GGUF_STRING)) put_string(&writer->keys, value);
}

void tx_gguf_add_strings(tx_gguf_writer *writer, const char *key, const tx_text *values,
                         size_t count) {
  if (!begin_array(writer, key, TX_GGUF_STRING, count)) return;
  for (size_t i = 0; i < count; i++) put_string(&writer->keys, values[i]);
}

/* 8 bytes a number; a count that cannot be is left to the buffer to refuse. */
static void put_numbers(tx_gguf_writer *writer, const void *values, size_t count) {
  uint64_t bytes;
  if (!tx_multiply(count, sizeof(int64_t), &bytes)) bytes = SIZE_MAX;
  if (tx_buffer_reserve(&writer->keys, bytes)) tx_buffer_append(&writer->keys, values, bytes);
}

void tx_gguf_add_ints(tx_gguf_writer *writer, const char *key, const int64_t *values,
                      size_t count) {
  if (begin_array(writer, key, TX_GGUF_I64, count)) put_numbers(writer, values, count);
}

void tx_gguf_add_floats(tx_gguf_writer *writer, const char *key, const double *values,
                        size_t count) {
  if (begin_array(writer, key, TX_GGUF_F64, count)) put_numbers(writer, values, count);
}

/* ---- from another file ------------------------------------------------- */

/* Where the value of an entry ends, whose place and sizes the reader has checked. */
static uint64_t end_of(const tx_gguf *from, const tx_gguf_entry *entry) {
  bool array = entry->type == TX_GGUF_ARRAY;
  uint8_t type = array ? entry->element : entry->type;
  uint64_t count = array ? entry->count : 1;
  if (type != TX_GGUF_STRING) return entry->at + count * tx_gguf_value_facts[type].size;
  tx_cursor cursor = tx_cursor_make(from->data, from->size, from->path, NULL);
  cursor.at = entry->at;
  for (uint64_t i = 0; i < count; i++) {
    tx_text text;
    if (tx_gguf_read_string(&cursor, UINT64_MAX, "a string", &text) != TX_OK) break;
  }
  return cursor.at;
}

static void add_entry(tx_gguf_writer *writer, const tx_gguf *from, const char *key,
                      const tx_gguf_entry *entry) {
  bool begun = entry->type == TX_GGUF_ARRAY
                   ? begin_array(writer, key, entry->element, (size_t)entry->count)
                   : begin_key(writer, key, entry->type);
  if (!begun) return;
  tx_buffer_append(&writer->keys, from->data + entry->at,
                   (size_t)(end_of(from, entry) - entry->at));
}

static bool is_left_out(const char *key, const char *const *without, size_t count) {
  for (size_t i = 0; i < count; i++) {
    if (strcmp(key, without[i]) == 0) return true;
  }
  return strcmp(key, "general.alignment") == 0;
}

void tx_gguf_add_keys(tx_gguf_writer *writer, const tx_gguf *from, const char *const *without,
                      size_t count) {
  for (size_t i = 0; i < from->keys.count && writer->error.status == TX_OK; i++) {
    tx_text name = from->keys.items[i];
    char *key = tx_copy_bytes(name.data, name.size);
    if (!key) {
      tx_fail_memory(&writer->error, name.size, "a key");
      return;
    }
    if (!is_left_out(key, without, count)) add_entry(writer, from, key, &from->entries[i]);
    tx_free(key);
  }
}

void tx_gguf_add_all(tx_gguf_writer *writer, const tx_gguf *from, const char *const *without,
                     size_t count) {
  tx_gguf_add_keys(writer, from, without, count);
  for (size_t i = 0; i < tx_gguf_tensor_count(from); i++) {
    const tx_tensor *tensor = tx_gguf_tensor_at(from, i);
    tx_gguf_add_tensor(writer, tensor->name, tensor->type, tensor->dimensions, tensor->shape,
                       tensor->data);
  }
}

/* ---- tensors ----------------------------------------------------------- */

/* The bytes of a tensor of this shape; false, with the failure, for an impossible one. */
static bool measure_tensor(tx_gguf_writer *writer, const char *name, tx_tensor_type type,
                           int dimensions, const int64_t *shape, uint64_t *bytes) {
  tx_tensor_type_facts facts;
  uint64_t values = 1;
  if (!tx_tensor_type_find((uint32_t)type, &facts)) {
    MISUSED(writer, "tensor '%s' has the unknown type %d; choose another", name, (int)type);
    return false;
  }
  if (dimensions < 1 || dimensions > TX_TENSOR_DIMENSIONS) {
    MISUSED(writer, "tensor '%s' has %d dimensions, 1 to %d are written; reshape it", name,
            dimensions, TX_TENSOR_DIMENSIONS);
    return false;
  }
  for (int i = 0; i < dimensions; i++) {
    if (shape[i] < 1 || !tx_multiply(values, (uint64_t)shape[i], &values) || values > INT64_MAX) {
      MISUSED(writer,
              "tensor '%s' has %" PRId64
              " as dimension %d, which makes no shape; leave it "
              "out or reshape it",
              name, shape[i], i + 1);
      return false;
    }
  }
  if (shape[0] % facts.block != 0) {
    MISUSED(writer,
            "tensor '%s' has rows of %" PRId64 " values, not whole blocks of %" PRId64
            " as %s needs; choose another type",
            name, shape[0], facts.block, facts.name);
    return false;
  }
  if (!tx_multiply(values / (uint64_t)facts.block, (uint64_t)facts.block_bytes, bytes)) {
    MISUSED(writer, "tensor '%s' is larger than any file; reshape it", name);
    return false;
  }
  return true;
}

static void add_payload(tx_gguf_writer *writer, const char *name, tx_tensor_type type,
                        int dimensions, const int64_t *shape, payload item) {
  uint64_t next;
  if (writer->error.status != TX_OK ||
      !measure_tensor(writer, name, type, dimensions, shape, &item.size)) {
    return;
  }
  bool there = item.data || item.rows;
  if (!there || !tx_add(writer->offset, item.size, &next) || !tx_add(next, ALIGNMENT - 1, &next)) {
    MISUSED(writer, "tensor '%s' %s", name,
            there ? "does not fit into a file; leave it out" : "has no data; give it some");
    return;
  }
  if (!take_name(writer, "tensor", name, MAX_TENSOR_NAME, &writer->tensor_names,
                 &writer->tensor_count)) {
    return;
  }
  put_string(&writer->tensors, tx_text_of(name));
  put_u32(&writer->tensors, (uint32_t)dimensions);
  for (int i = 0; i < dimensions; i++) put_u64(&writer->tensors, (uint64_t)shape[i]);
  put_u32(&writer->tensors, (uint32_t)type);
  put_u64(&writer->tensors, writer->offset);
  tx_buffer_append(&writer->payloads, &item, sizeof item);
  writer->offset = next & ~(uint64_t)(ALIGNMENT - 1);
}

void tx_gguf_add_tensor(tx_gguf_writer *writer, const char *name, tx_tensor_type type,
                        int dimensions, const int64_t *shape, const void *data) {
  add_payload(writer, name, type, dimensions, shape, (payload){.data = data});
}

void tx_gguf_add_rows(tx_gguf_writer *writer, const char *name, bool half, int dimensions,
                      const int64_t *shape, const tx_rows *rows) {
  int64_t count = 1;
  tx_tensor_type type = half ? TX_TENSOR_F16 : TX_TENSOR_F32;
  for (int i = 1; i < dimensions && i < TX_TENSOR_DIMENSIONS; i++) count *= shape[i];
  if (dimensions < 1 || rows->columns != shape[0] || rows->rows != count) {
    MISUSED(writer, "tensor '%s' has rows of another shape; give it its own", name);
    return;
  }
  add_payload(writer, name, type, dimensions, shape, (payload){.rows = rows, .half = half});
}

/* ---- the file ---------------------------------------------------------- */

static tx_status put_padding(tx_writer *file, uint64_t written, tx_error *error) {
  static const unsigned char zeros[ALIGNMENT];
  return tx_writer_add(file, zeros, (ALIGNMENT - written % ALIGNMENT) % ALIGNMENT, error);
}

static tx_status put_header(const tx_gguf_writer *writer, tx_writer *file, tx_error *error) {
  struct {
    char magic[4];
    uint32_t version;
    uint64_t tensors, keys;
  } header = {{'G', 'G', 'U', 'F'}, 3, writer->tensor_count, writer->key_count};
  _Static_assert(sizeof header == 24, "the header has no padding");
  TX_TRY(tx_writer_add(file, &header, sizeof header, error));
  TX_TRY(tx_writer_add(file, writer->keys.data, writer->keys.size, error));
  TX_TRY(tx_writer_add(file, writer->tensors.data, writer->tensors.size, error));
  return put_padding(file, sizeof header + writer->keys.size + writer->tensors.size, error);
}

static tx_status put_file(const tx_gguf_writer *writer, tx_writer *file, tx_error *error) {
  TX_TRY(put_header(writer, file, error));
  for (uint64_t i = 0; i < writer->tensor_count; i++) {
    payload item;
    memcpy(&item, writer->payloads.data + i * sizeof item, sizeof item);
    TX_TRY(item.rows ? tx_rows_write(item.rows, item.half, file, error)
                     : tx_writer_add(file, item.data, item.size, error));
    TX_TRY(put_padding(file, item.size, error)); /* after the last one too: ggml expects it */
  }
  return TX_OK;
}

/* The first failed add, or the memory that one of them missed. */
static tx_status check_adds(const tx_gguf_writer *writer, tx_error *error) {
  if (writer->error.status != TX_OK) {
    return tx_fail(error, writer->error.status, "%s", writer->error.message);
  }
  if (writer->keys.failed || writer->tensors.failed || writer->key_names.failed ||
      writer->tensor_names.failed || writer->payloads.failed) {
    return tx_fail_memory(error, writer->keys.size + writer->tensors.size, "the file to write");
  }
  return TX_OK;
}

tx_status tx_gguf_commit(tx_gguf_writer *writer, const char *path, tx_error *error) {
  tx_writer *file;
  TX_TRY(check_adds(writer, error));
  TX_TRY(tx_writer_open(path, &file, error));
  tx_status status = put_file(writer, file, error);
  if (status == TX_OK) return tx_writer_commit(file, error);
  tx_writer_cancel(file);
  return status;
}
