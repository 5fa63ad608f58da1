/* safetensors, written: eight bytes of length, a JSON header of names, types, shapes and
 * offsets, then the numbers, tensor after tensor without a gap, in the order in which they
 * were added.  The file appears under its name only at commit (file.h).
 * Source: the format's description (huggingface/safetensors, README). */
#ifndef TX_FORMATS_SAFETENSORS_WRITE_H
#define TX_FORMATS_SAFETENSORS_WRITE_H

#include "formats/rows.h"

typedef struct tx_safetensors tx_safetensors;

tx_safetensors *tx_safetensors_new(void); /* NULL when out of memory */
void tx_safetensors_free(tx_safetensors *writer);

/* F16 where `half`, else F32.  `shape` (dimensions), 1 or 2, the last runs fastest, and is
 * (rows->rows, rows->columns), of one dimension (rows->columns).  `rows` is borrowed until
 * commit.  A failed add is remembered; commit reports it.  TX_ERROR_ARGUMENT: a name that is
 * empty, not UTF-8, used twice or "__metadata__", or a shape without numbers. */
void tx_safetensors_add(tx_safetensors *writer, const char *name, bool half, int dimensions,
                        const tx_rows *rows);

/* A header longer than the 100 MB that readers take is TX_ERROR_ARGUMENT. */
tx_status tx_safetensors_commit(tx_safetensors *writer, const char *path, tx_error *error);

#endif
