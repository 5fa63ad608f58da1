/* Finding a tensor of a model by what it is for, and expanding it. */
#ifndef TX_MODEL_WEIGHTS_H
#define TX_MODEL_WEIGHTS_H

#include "model/architecture.h"

/* Some rows of a two-dimensional tensor, or a vector (rows 1); of a matrix perhaps with
 * a low-rank change, B . A, which is added as rows are expanded, and lengths that they are
 * then brought to (model.h: tx_adapter). */
typedef struct tx_weight {
  const tx_tensor *tensor;
  const tx_gguf *file;
  int64_t first_row, rows, columns;
  const tx_tensor *low_a, *low_b; /* (rank, columns), (rows, rank) of F32; or NULL */
  const tx_tensor *low_m;         /* (rows) of F32; or NULL */
} tx_weight;

/* Where `block`'s matrix (or its bias: rows 1, columns = outputs) stands: among
 * the changes under its own name, else in the model's file.  A low-rank change of it
 * stands among the changes as "NAME.lora_a" and "NAME.lora_b", and its lengths as "NAME.lora_m". */
tx_status tx_weight_of_matrix(const tx_gguf *gguf, const tx_gguf *changes, const tx_facts *facts,
                              int64_t block, tx_matrix_slot slot, bool bias, tx_weight *weight,
                              tx_error *error);

/* A vector of `columns` under a full name. */
tx_status tx_weight_of_vector(const tx_gguf *gguf, const tx_gguf *changes, const char *name,
                              int64_t columns, tx_weight *weight, tx_error *error);

/* values (count, columns) = rows [from, from + count) of the weight. */
void tx_weight_rows(const tx_weight *weight, int64_t from, int64_t count, float *values);

/* Of a weight with lengths: what `row` (columns), which is its row `index` with the low-rank
 * change but before that, is multiplied by. */
void tx_weight_gain(const tx_weight *weight, const float *row, int64_t index, float *gain);

/* Whether it is not simply what the model's file holds. */
bool tx_weight_is_changed(const tx_weight *weight, const tx_gguf *gguf);

/* Where row `row` of a matrix that is not changed begins in the file. */
const unsigned char *tx_weight_blocks(const tx_weight *weight, int64_t row);

/* TX_ERROR_INPUT, naming file, tensor and byte, if a value is NaN or infinite. */
tx_status tx_weight_check(const tx_weight *weight, const float *values, int64_t count,
                          tx_error *error);

#endif
