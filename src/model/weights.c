/* Names, shapes and expansion of a model's tensors. */
#include "model/weights.h"

#include <inttypes.h>
#include <math.h>
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
  *weight = (tx_weight){.tensor = tensor, .file = file, .rows = 1, .columns = columns};
  return TX_OK;
}

/* Both or none of a low-rank change's two matrices. */
static tx_status find_low(const tx_gguf *changes, const char *name, tx_weight *weight,
                          tx_error *error) {
  char names[2][120];
  snprintf(names[0], sizeof names[0], "%s.lora_a", name);
  snprintf(names[1], sizeof names[1], "%s.lora_b", name);
  const tx_tensor *a = tx_gguf_tensor(changes, names[0]);
  const tx_tensor *b = tx_gguf_tensor(changes, names[1]);
  if (!a && !b) return TX_OK;
  if (!a || !b) {
    return tx_fail(error, TX_ERROR_INPUT,
                   "%s: there is %s but no %s; the artifact is damaged, train it again",
                   tx_gguf_path(changes), names[b != NULL], names[a != NULL]);
  }
  int64_t rank = a->shape[1];
  TX_TRY(check_shape(changes, a, weight->columns, rank, error));
  TX_TRY(check_shape(changes, b, rank, weight->rows, error));
  if (a->type != TX_TENSOR_F32 || b->type != TX_TENSOR_F32) {
    return tx_fail(error, TX_ERROR_INPUT, "%s: %s and %s must be F32; train the artifact again",
                   tx_gguf_path(changes), names[0], names[1]);
  }
  weight->low_a = a, weight->low_b = b;
  snprintf(names[0], sizeof names[0], "%s.lora_m", name);
  const tx_tensor *m = tx_gguf_tensor(changes, names[0]);
  if (!m) return TX_OK;
  TX_TRY(check_shape(changes, m, weight->rows, 1, error));
  if (m->type != TX_TENSOR_F32) {
    return tx_fail(error, TX_ERROR_INPUT, "%s: %s must be F32; train the artifact again",
                   tx_gguf_path(changes), names[0]);
  }
  weight->low_m = m;
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
  char own[sizeof name];
  memcpy(own, name, sizeof name);
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
  *weight = (tx_weight){.tensor = tensor,
                        .file = file,
                        .first_row = first,
                        .rows = bias ? 1 : outputs,
                        .columns = bias ? outputs : inputs};
  return changes && !bias ? find_low(changes, own, weight, error) : TX_OK;
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

bool tx_weight_is_changed(const tx_weight *weight, const tx_gguf *gguf) {
  return weight->file != gguf || weight->low_a;
}

/* values (count, columns) += rows of B (rows, rank) . A (rank, columns), by rising rank. */
static void add_low(const tx_weight *weight, int64_t from, int64_t count, float *values) {
  const float *a = (const float *)(const void *)weight->low_a->data;
  const float *b = (const float *)(const void *)weight->low_b->data;
  int64_t rank = weight->low_a->shape[1], columns = weight->columns;
  for (int64_t row = 0; row < count; row++) {
    for (int64_t r = 0; r < rank; r++) {
      float factor = b[(from + row) * rank + r];
      for (int64_t i = 0; i < columns; i++) {
        values[row * columns + i] += factor * a[r * columns + i];
      }
    }
  }
}

void tx_weight_gain(const tx_weight *weight, const float *row, int64_t index, float *gain) {
  double square = 0;
  for (int64_t i = 0; i < weight->columns; i++) square += (double)row[i] * (double)row[i];
  float length = ((const float *)(const void *)weight->low_m->data)[index];
  *gain = square > 0 ? (float)((double)length / sqrt(square)) : 0;
}

static void bring_to_length(const tx_weight *weight, int64_t from, int64_t count, float *values) {
  for (int64_t row = 0; row < count; row++) {
    float *at = values + row * weight->columns, gain;
    tx_weight_gain(weight, at, from + row, &gain);
    for (int64_t i = 0; i < weight->columns; i++) at[i] *= gain;
  }
}

void tx_weight_rows(const tx_weight *weight, int64_t from, int64_t count, float *values) {
  tx_dequantize(weight->tensor->type, tx_weight_blocks(weight, from), count * weight->columns,
                values);
  if (weight->low_a) add_low(weight, from, count, values);
  if (weight->low_m) bring_to_length(weight, from, count, values);
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
