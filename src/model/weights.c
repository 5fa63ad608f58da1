/* Names, shapes and expansion of a model's tensors. */
#include "model/weights.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "kernels/dequantize.h"

static tx_status check_shape(const tx_gguf *file, const tx_tensor *tensor, int64_t columns,
                             int64_t rows, tx_error *error) {
  bool vector = rows == 1 && tensor->dimensions == 1;
  bool fits = tensor->shape[0] == columns &&
              (vector || (tensor->dimensions == 2 && tensor->shape[1] == rows));
  tx_tensor_type_facts type;
  bool number = tx_tensor_type_find(tensor->type, &type) && tensor->type != TX_TENSOR_I32 &&
                tensor->type != TX_TENSOR_I64 && (rows > 1 || type.block == 1);
  if (fits && number) return TX_OK;
  char where[512];
  snprintf(where, sizeof where, "%s: %s", tx_gguf_path(file), tensor->name);
  return tx_fail_byte(error, TX_ERROR_INPUT, where, tensor->offset,
                      "the tensor is [%" PRId64 ", %" PRId64
                      "] of %s but the model's sizes ask for [%" PRId64 ", %" PRId64
                      "]; the file is damaged or of a kind taxon does not know",
                      tensor->shape[0], tensor->shape[1], type.name, columns, rows);
}

static tx_status find(const tx_gguf *gguf, const tx_gguf *changes, const char *name,
                      const tx_tensor **tensor, const tx_gguf **file, tx_error *error) {
  *file = changes;
  *tensor = changes ? tx_gguf_tensor(changes, name) : NULL;
  if (*tensor) return TX_OK;
  *file = gguf;
  *tensor = tx_gguf_tensor(gguf, name);
  if (*tensor) return TX_OK;
  return tx_fail(error, TX_ERROR_INPUT,
                 "%s: the tensor %s is missing; the file is damaged or not a whole model",
                 tx_gguf_path(gguf), name);
}

tx_status tx_weight_of_vector(const tx_gguf *gguf, const tx_gguf *changes, const char *name,
                              int64_t columns, tx_weight *weight, tx_error *error) {
  const tx_tensor *tensor;
  const tx_gguf *file;
  TX_TRY(find(gguf, changes, name, &tensor, &file, error));
  TX_TRY(check_shape(file, tensor, columns, 1, error));
  *weight = (tx_weight){tensor, file, 0, 1, columns};
  return TX_OK;
}

tx_status tx_weight_of_matrix(const tx_gguf *gguf, const tx_gguf *changes, const tx_facts *facts,
                              int64_t block, tx_matrix_slot slot, bool bias, tx_weight *weight,
                              tx_error *error) {
  const char *ending = bias ? "bias" : "weight";
  int64_t outputs, inputs, first = 0, rows;
  tx_matrix_shape(facts, slot, &outputs, &inputs);
  char name[96];
  snprintf(name, sizeof name, "blk.%" PRId64 ".%s.%s", block, tx_matrix_stem(slot), ending);
  rows = outputs;
  bool changed = changes && tx_gguf_tensor(changes, name);
  if (facts->architecture->fused_qkv && slot <= TX_MATRIX_VALUE && !changed) {
    int64_t query = facts->heads * facts->head_size, key = facts->kv_heads * facts->head_size;
    snprintf(name, sizeof name, "blk.%" PRId64 ".attn_qkv.%s", block, ending);
    first = slot == TX_MATRIX_QUERY ? 0 : slot == TX_MATRIX_KEY ? query : query + key;
    rows = query + 2 * key;
  }
  const tx_tensor *tensor;
  const tx_gguf *file;
  TX_TRY(find(gguf, changes, name, &tensor, &file, error));
  TX_TRY(check_shape(file, tensor, bias ? rows : inputs, bias ? 1 : rows, error));
  *weight = bias ? (tx_weight){tensor, file, first, 1, outputs}
                 : (tx_weight){tensor, file, first, outputs, inputs};
  return TX_OK;
}

/* A vector's `first_row` counts elements, also where it is stored as a matrix of
 * one row; vectors have a block of one value (check_shape), so any element may
 * start there. */
const unsigned char *tx_weight_blocks(const tx_weight *weight, int64_t row) {
  const tx_tensor *tensor = weight->tensor;
  tx_tensor_type_facts type;
  tx_tensor_type_find(tensor->type, &type);
  int64_t elements = tensor->shape[1] == 1 ? weight->first_row + row * weight->columns
                                           : (weight->first_row + row) * weight->columns;
  return tensor->data + elements / type.block * type.block_bytes;
}

void tx_weight_rows(const tx_weight *weight, int64_t from, int64_t count, float *values) {
  tx_dequantize(weight->tensor->type, tx_weight_blocks(weight, from), count * weight->columns,
                values);
}

tx_status tx_weight_check(const tx_weight *weight, const float *values, int64_t count,
                          tx_error *error) {
  int64_t bad = 0;
  for (int64_t i = 0; i < count; i++) bad += !(values[i] - values[i] == 0.0f);
  if (!bad) return TX_OK;
  char where[512];
  snprintf(where, sizeof where, "%s: %s", tx_gguf_path(weight->file), weight->tensor->name);
  return tx_fail_byte(error, TX_ERROR_INPUT, where, weight->tensor->offset,
                      "the weights hold NaN or infinity; the file is damaged, fetch it again");
}
