/* GGUF version 3, written: keys first, then tensors, in the order they were
 * added, so that the same calls give the same bytes.  The file appears under
 * its name only at commit (file.h). */
#ifndef TX_FORMATS_GGUF_WRITE_H
#define TX_FORMATS_GGUF_WRITE_H

#include "formats/gguf.h"
#include "formats/rows.h"

typedef struct tx_gguf_writer tx_gguf_writer;

tx_gguf_writer *tx_gguf_writer_new(void); /* NULL when out of memory */
void tx_gguf_writer_free(tx_gguf_writer *writer);

/* A failed add is remembered; commit reports it.  Misuse is TX_ERROR_ARGUMENT:
 * a name used twice, a key that is empty, longer than 65,535 bytes or
 * "general.alignment" (always 32), a tensor name longer than 63 bytes, a shape
 * that the reader would refuse (a dimension of 0 too). */
void tx_gguf_add_int(tx_gguf_writer *writer, const char *key, int64_t value);
void tx_gguf_add_u32(tx_gguf_writer *writer, const char *key, uint32_t value); /* ggml's sizes */
void tx_gguf_add_float(tx_gguf_writer *writer, const char *key, double value); /* stored as F64 */
void tx_gguf_add_bool(tx_gguf_writer *writer, const char *key, bool value);
void tx_gguf_add_string(tx_gguf_writer *writer, const char *key, tx_text value);
void tx_gguf_add_strings(tx_gguf_writer *writer, const char *key, const tx_text *values,
                         size_t count);
void tx_gguf_add_ints(tx_gguf_writer *writer, const char *key, const int64_t *values, size_t count);
void tx_gguf_add_floats(tx_gguf_writer *writer, const char *key, const double *values,
                        size_t count); /* stored as F64 */

/* `data` is borrowed until commit; shape[0] runs fastest. */
void tx_gguf_add_tensor(tx_gguf_writer *writer, const char *name, tx_tensor_type type,
                        int dimensions, const int64_t *shape, const void *data);

/* Made at commit: F16 where `half`, else F32.  rows->rows is the product of the shape's
 * dimensions from the second on, rows->columns the first; `rows` is borrowed until commit. */
void tx_gguf_add_rows(tx_gguf_writer *writer, const char *name, bool half, int dimensions,
                      const int64_t *shape, const tx_rows *rows);

/* Every key and tensor of `from`, which is borrowed until commit, as it stands there;
 * of the keys not those of `without` (count) and "general.alignment". */
void tx_gguf_add_all(tx_gguf_writer *writer, const tx_gguf *from, const char *const *without,
                     size_t count);
void tx_gguf_add_keys(tx_gguf_writer *writer, const tx_gguf *from, const char *const *without,
                      size_t count); /* its keys alone */

tx_status tx_gguf_commit(tx_gguf_writer *writer, const char *path, tx_error *error);

#endif
