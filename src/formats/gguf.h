/* GGUF, versions 2 and 3, read: a mapped file whose every count, length,
 * offset, type, shape and alignment is checked at tx_gguf_open, so that
 * everything reachable from an open handle is safe to use.  What the keys and
 * tensors mean is left to the model.
 * Source: the GGUF specification (ggml, docs/gguf.md). */
#ifndef TX_FORMATS_GGUF_H
#define TX_FORMATS_GGUF_H

#include "base/error.h"

typedef enum tx_tensor_type { /* the numbers of ggml */
  TX_TENSOR_F32 = 0,
  TX_TENSOR_F16 = 1,
  TX_TENSOR_Q4_0 = 2,
  TX_TENSOR_Q4_1 = 3,
  TX_TENSOR_Q5_0 = 6,
  TX_TENSOR_Q5_1 = 7,
  TX_TENSOR_Q8_0 = 8,
  TX_TENSOR_Q4_K = 12,
  TX_TENSOR_Q5_K = 13,
  TX_TENSOR_Q6_K = 14,
  TX_TENSOR_I32 = 26,
  TX_TENSOR_I64 = 27,
  TX_TENSOR_BF16 = 30,
} tx_tensor_type;

enum { TX_TENSOR_DIMENSIONS = 4 };

typedef struct tx_tensor {
  const char *name; /* NUL-terminated, borrowed */
  tx_tensor_type type;
  int dimensions;                        /* 1..4 */
  int64_t shape[TX_TENSOR_DIMENSIONS];   /* shape[0] runs fastest; unused ones are 1 */
  const unsigned char *data;             /* into the map */
  uint64_t size, offset;                 /* bytes; offset from the start of the file */
} tx_tensor;

/* The facts of a type; false for a number that this program does not know. */
typedef struct tx_tensor_type_facts {
  const char *name;       /* "Q4_1" */
  int64_t block;          /* values in a block */
  int64_t block_bytes;
} tx_tensor_type_facts;
bool tx_tensor_type_find(uint32_t type, tx_tensor_type_facts *facts);

typedef struct tx_gguf tx_gguf;

tx_status tx_gguf_open(const char *path, tx_gguf **gguf, tx_error *error);
/* The same over bytes in memory (borrowed, aligned to 8 bytes if tensors are to be
 * used in place); `name` stands for the file in messages. */
tx_status tx_gguf_open_bytes(const void *data, uint64_t size, const char *name, tx_gguf **gguf,
                             tx_error *error);
void tx_gguf_close(tx_gguf *gguf);
const char *tx_gguf_path(const tx_gguf *gguf);
const unsigned char *tx_gguf_bytes(const tx_gguf *gguf, uint64_t *size); /* the whole file */

size_t tx_gguf_tensor_count(const tx_gguf *gguf);
const tx_tensor *tx_gguf_tensor_at(const tx_gguf *gguf, size_t index);
const tx_tensor *tx_gguf_tensor(const tx_gguf *gguf, const char *name); /* NULL: none */

bool tx_gguf_has(const tx_gguf *gguf, const char *key);

/* A missing key or one of another type is TX_ERROR_INPUT and names file and
 * key.  Whole numbers of any width convert where the value fits. */
tx_status tx_gguf_int(const tx_gguf *gguf, const char *key, int64_t *value, tx_error *error);
tx_status tx_gguf_float(const tx_gguf *gguf, const char *key, double *value, tx_error *error);
tx_status tx_gguf_bool(const tx_gguf *gguf, const char *key, bool *value, tx_error *error);
tx_status tx_gguf_string(const tx_gguf *gguf, const char *key, tx_text *value, tx_error *error);

/* Arrays.  `strings` is borrowed from the handle and made at the first call; the
 * bytes lie in the file and carry no NUL.  Numbers are copied out. */
tx_status tx_gguf_strings(const tx_gguf *gguf, const char *key, const tx_text **strings,
                          size_t *count, tx_error *error);
tx_status tx_gguf_ints(const tx_gguf *gguf, const char *key, int64_t **values, size_t *count,
                       tx_error *error); /* new: tx_free */
tx_status tx_gguf_floats(const tx_gguf *gguf, const char *key, double **values, size_t *count,
                         tx_error *error); /* new: tx_free */

#endif
