/* The header is gathered as tensors are added, their numbers are made only at commit. */
#include "formats/safetensors_write.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/memory.h"
#include "formats/nearest.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "numbers are written as they lie");

enum { ALIGNMENT = 8, LONGEST_HEADER = 100 * 1000 * 1000 };

typedef struct {
  const tx_rows *rows;
  bool half;
} payload;

struct tx_safetensors {
  json_t *header;
  tx_buffer payloads; /* payload for each tensor */
  size_t count;
  uint64_t offset; /* of the next tensor, from the end of the header */
  tx_error error;  /* the first failed add */
};

tx_safetensors *tx_safetensors_new(void) {
  tx_safetensors *made = tx_alloc_zero(1, sizeof *made);
  if (!made) return NULL;
  /* PyTorch's own readers ask for the format. */
  made->header = json_pack("{s:{s:s}}", "__metadata__", "format", "pt");
  if (made->header) return made;
  tx_free(made);
  return NULL;
}

void tx_safetensors_free(tx_safetensors *writer) {
  if (!writer) return;
  json_decref(writer->header);
  tx_buffer_free(&writer->payloads);
  tx_free(writer);
}

/* ---- adding ------------------------------------------------------------ */

#define MISUSED(writer, ...) (void)tx_fail(&(writer)->error, TX_ERROR_ARGUMENT, __VA_ARGS__)

/* The bytes of the tensor; false, with the failure, for an impossible one. */
static bool measure(tx_safetensors *writer, const char *name, bool half, int dimensions,
                    const tx_rows *rows, uint64_t *end) {
  uint64_t bytes;
  bool shaped = rows->rows > 0 && rows->columns > 0 &&
                (dimensions == 2 || (dimensions == 1 && rows->rows == 1));
  if (!shaped) {
    MISUSED(writer, "tensor '%s' has %d dimensions of %" PRId64 " rows of %" PRId64
            " numbers, which is no shape; reshape it", name, dimensions, rows->rows,
            rows->columns);
    return false;
  }
  if (!tx_multiply((uint64_t)rows->rows, (uint64_t)rows->columns, &bytes) ||
      !tx_multiply(bytes, half ? 2 : 4, &bytes) || !tx_add(writer->offset, bytes, end) ||
      *end > INT64_MAX) {
    MISUSED(writer, "tensor '%s' is larger than any file; reshape it", name);
    return false;
  }
  if (name[0] == '\0' || !tx_is_utf8(tx_text_of(name)) || json_object_get(writer->header, name)) {
    MISUSED(writer, "the name '%s' is empty, not UTF-8, reserved or used twice; choose another",
            name);
    return false;
  }
  return true;
}

void tx_safetensors_add(tx_safetensors *writer, const char *name, bool half, int dimensions,
                        const tx_rows *rows) {
  uint64_t end;
  if (writer->error.status != TX_OK) return;
  if (!measure(writer, name, half, dimensions, rows, &end)) return;
  json_t *fact = json_pack("{s:s, s:[I], s:[I, I]}", "dtype", half ? "F16" : "F32", "shape",
                           (json_int_t)(dimensions == 2 ? rows->rows : rows->columns),
                           "data_offsets", (json_int_t)writer->offset, (json_int_t)end);
  bool shaped = fact && (dimensions == 1 ||
                         json_array_append_new(json_object_get(fact, "shape"),
                                               json_integer(rows->columns)) == 0);
  payload item = {rows, half};
  if (!shaped || !tx_buffer_append(&writer->payloads, &item, sizeof item)) {
    json_decref(fact);
    (void)tx_fail_memory(&writer->error, 256, "a tensor's facts");
    return;
  }
  if (json_object_set_new(writer->header, name, fact) != 0) {
    (void)tx_fail_memory(&writer->error, 256, "a tensor's facts");
    return;
  }
  writer->offset = end;
  writer->count++;
}

/* ---- the file ---------------------------------------------------------- */

/* The length, the header and spaces up to a whole number of 8 bytes. */
static tx_status put_header(tx_writer *file, const char *header, tx_error *error) {
  static const char spaces[ALIGNMENT] = "        ";
  size_t size = strlen(header), padding = (ALIGNMENT - size % ALIGNMENT) % ALIGNMENT;
  uint64_t length = size + padding;
  if (length > LONGEST_HEADER) {
    return tx_fail(error, TX_ERROR_ARGUMENT,
                   "the header has %" PRIu64 " bytes, and readers take %d; write fewer tensors",
                   length, LONGEST_HEADER);
  }
  TX_TRY(tx_writer_add(file, &length, sizeof length, error));
  TX_TRY(tx_writer_add(file, header, size, error));
  return tx_writer_add(file, spaces, padding, error);
}

static tx_status put_file(const tx_safetensors *writer, tx_writer *file, const char *header,
                          tx_error *error) {
  TX_TRY(put_header(file, header, error));
  for (size_t i = 0; i < writer->count; i++) {
    payload item;
    memcpy(&item, writer->payloads.data + i * sizeof item, sizeof item);
    TX_TRY(tx_rows_write(item.rows, item.half, file, error));
  }
  return TX_OK;
}

tx_status tx_safetensors_commit(tx_safetensors *writer, const char *path, tx_error *error) {
  tx_writer *file;
  if (writer->error.status != TX_OK) return tx_fail_with(error, &writer->error);
  TX_TRY(tx_writer_open(path, &file, error));
  char *header = json_dumps(writer->header, JSON_COMPACT);
  tx_status status = header ? put_file(writer, file, header, error)
                            : tx_fail_memory(error, 4096, "the header");
  free(header); /* jansson's */
  if (status == TX_OK) return tx_writer_commit(file, error);
  tx_writer_cancel(file);
  return status;
}
