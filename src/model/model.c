/* Opening a model, and its settings. */
#include "model/model_parts.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "kernels/grouped.h"

uint64_t tx_weight_group_bytes(const tx_weight *weight) {
  return tx_grouped_packed_bytes((uint32_t)weight->tensor->type, weight->columns, weight->rows);
}

tx_status tx_model_norm_weight(const tx_model *model, const char *stem, bool bias,
                               tx_weight *weight, tx_error *error) {
  char name[96];
  snprintf(name, sizeof name, "%s.%s", stem, bias ? "bias" : "weight");
  return tx_weight_of_vector(model->gguf, model->changes, name, model->facts.width, weight, error);
}

bool tx_model_norm_has_bias(const tx_model *model) {
  return model->facts.architecture->norm == TX_NORM_LAYER;
}

/* ---- opening ----------------------------------------------------------- */

/* Every tensor of every block is found and its shape checked, before any work. */
static tx_status check_block(const tx_model *model, int64_t block, tx_error *error) {
  tx_weight weight;
  for (int slot = 0; slot < TX_MATRICES; slot++) {
    int64_t outputs, inputs;
    tx_matrix_shape(&model->facts, (tx_matrix_slot)slot, &outputs, &inputs);
    if (outputs == 0) continue;
    for (int bias = 0; bias <= model->facts.architecture->biases; bias++) {
      TX_TRY(tx_weight_of_matrix(model->gguf, model->changes, &model->facts, block,
                                 (tx_matrix_slot)slot, bias, &weight, error));
    }
  }
  for (int slot = 0; slot < TX_NORMS; slot++) {
    char stem[64];
    snprintf(stem, sizeof stem, "blk.%" PRId64 ".%s", block, tx_norm_stem((tx_norm_slot)slot));
    for (int bias = 0; bias <= tx_model_norm_has_bias(model); bias++) {
      TX_TRY(tx_model_norm_weight(model, stem, bias, &weight, error));
    }
  }
  return TX_OK;
}

/* A tensor among the changes takes the place of the file's own. */
static const tx_tensor *find_table(const tx_model *model, const char *name, const tx_gguf **file) {
  const tx_tensor *changed = model->changes ? tx_gguf_tensor(model->changes, name) : NULL;
  *file = changed ? model->changes : model->gguf;
  return changed ? changed : tx_gguf_tensor(model->gguf, name);
}

static tx_status table_weight(const tx_model *model, const char *name, int64_t rows,
                              tx_weight *weight, tx_error *error) {
  const tx_gguf *file;
  const tx_tensor *tensor = find_table(model, name, &file);
  if (!tensor || tensor->dimensions != 2 || tensor->shape[0] != model->facts.width ||
      tensor->shape[1] < rows || tensor->type == TX_TENSOR_I32 || tensor->type == TX_TENSOR_I64) {
    return tx_fail(error, TX_ERROR_INPUT,
                   "%s: the tensor %s is missing or not [%" PRId64 ", %" PRId64
                   "]; the file is damaged",
                   tx_gguf_path(file), name, model->facts.width, rows);
  }
  *weight =
      (tx_weight){.tensor = tensor, .file = file, .rows = rows, .columns = model->facts.width};
  return TX_OK;
}

static tx_status read_output_norm(tx_model *model, tx_error *error) {
  int64_t width = model->facts.width;
  float *memory = model->output_norm_memory = tx_alloc_zero((size_t)(2 * width), sizeof(float));
  if (!memory) return tx_fail_memory(error, (uint64_t)(8 * width), "a norm");
  for (int bias = 0; bias <= tx_model_norm_has_bias(model); bias++) {
    tx_weight weight;
    TX_TRY(tx_model_norm_weight(model, "output_norm", bias, &weight, error));
    tx_weight_rows(&weight, 0, 1, memory + bias * width);
    TX_TRY(tx_weight_check(&weight, memory + bias * width, width, error));
  }
  model->output_norm = (tx_norm){memory, tx_model_norm_has_bias(model) ? memory + width : NULL};
  return TX_OK;
}

static tx_status fail_rows(const tx_model *model, const char *what, tx_error *error) {
  return tx_fail(error, TX_ERROR_INPUT,
                 "%s: %s; the artifact is damaged or of another base, train it again",
                 tx_gguf_path(model->changes), what);
}

/* Rows of the tables that embed. */
static tx_status find_changed_rows(tx_model *model, tx_error *error) {
  int64_t width = model->facts.width, before = -1;
  if (!model->changes) return TX_OK;
  const tx_tensor *ids = tx_gguf_tensor(model->changes, "token_embd.ids");
  const tx_tensor *rows = tx_gguf_tensor(model->changes, "token_embd.rows");
  const tx_tensor *positions = tx_gguf_tensor(model->changes, "position_embd.rows");
  if (positions && (positions->type != TX_TENSOR_F32 || positions->shape[0] != width ||
                    positions->shape[1] > model->facts.context || !model->positions.tensor)) {
    return fail_rows(model, "position_embd.rows does not fit the model", error);
  }
  model->changed_positions = positions;
  if (!ids && !rows) return TX_OK;
  if (!ids || !rows || ids->type != TX_TENSOR_I32 || rows->type != TX_TENSOR_F32 ||
      ids->dimensions != 1 || rows->shape[0] != width || rows->shape[1] != ids->shape[0]) {
    return fail_rows(model, "token_embd.ids and token_embd.rows do not fit the model", error);
  }
  for (int64_t i = 0; i < ids->shape[0]; i++) {
    int32_t id = ((const int32_t *)(const void *)ids->data)[i];
    if (id <= before || id >= model->facts.vocabulary) {
      return fail_rows(model, "token_embd.ids does not rise within the vocabulary", error);
    }
    before = id;
  }
  model->changed_ids = ids, model->changed_rows = rows;
  return TX_OK;
}

static tx_status open_all(tx_model *model, const char *path, tx_error *error) {
  TX_TRY(tx_gguf_open(path, &model->gguf, error));
  TX_TRY(tx_facts_read(model->gguf, &model->facts, error));
  const tx_facts *facts = &model->facts;
  model->blocks = tx_alloc_zero((size_t)facts->blocks, sizeof *model->blocks);
  model->kept = tx_alloc_zero((size_t)facts->blocks, sizeof *model->kept);
  model->output_groups = tx_alloc_zero(1, sizeof *model->output_groups);
  if (!model->blocks || !model->kept || !model->output_groups) {
    return tx_fail_memory(error, sizeof *model->blocks, "the block table");
  }
  TX_TRY(table_weight(model, "token_embd.weight", facts->vocabulary, &model->embedding, error));
  if (facts->architecture->positions == TX_POSITION_LEARNED) {
    TX_TRY(table_weight(model, "position_embd.weight", facts->context, &model->positions, error));
  }
  model->output = model->embedding;
  const tx_gguf *file;
  if (find_table(model, "output.weight", &file)) {
    TX_TRY(table_weight(model, "output.weight", facts->vocabulary, &model->output, error));
  }
  for (int64_t block = 0; block < facts->blocks; block++) TX_TRY(check_block(model, block, error));
  TX_TRY(tx_model_check_left_out(model, error));
  TX_TRY(tx_model_check_changes(model, error));
  TX_TRY(find_changed_rows(model, error));
  return read_output_norm(model, error);
}

tx_status tx_model_open(const char *path, const tx_gguf *changes, tx_model **model,
                        tx_error *error) {
  *model = NULL;
  tx_model *made = tx_alloc_zero(1, sizeof *made);
  if (!made) return tx_fail_memory(error, sizeof *made, "a model");
  made->changes = changes;
  tx_status status = open_all(made, path, error);
  if (status != TX_OK) {
    tx_model_close(made);
    return status;
  }
  *model = made;
  return TX_OK;
}

void tx_model_close(tx_model *model) {
  if (!model) return;
  if (model->blocks) tx_model_unload(model, 0, model->facts.blocks);
  tx_free(model->blocks);
  tx_free(model->kept);
  unsigned char *groups = model->output_groups ? atomic_load(model->output_groups) : NULL;
  if (groups) tx_pages_free(groups, tx_weight_group_bytes(&model->output));
  tx_free(model->output_groups);
  tx_free(model->output_norm_memory);
  tx_gguf_close(model->gguf);
  tx_free(model);
}

const tx_facts *tx_model_facts(const tx_model *model) { return &model->facts; }
const tx_gguf *tx_model_gguf(const tx_model *model) { return model->gguf; }
const tx_gguf *tx_model_changes(const tx_model *model) { return model->changes; }
const tx_norm *tx_model_output_norm(const tx_model *model) { return &model->output_norm; }

void tx_model_set_dtype(tx_model *model, tx_dtype dtype) {
  model->dtype = dtype;
}
void tx_model_set_adapters_apart(tx_model *model, bool apart) { model->apart = apart; }

void tx_model_set_two_way(tx_model *model, int64_t first) {
  model->two_way = model->facts.blocks - first;
}

int64_t tx_model_two_way(const tx_model *model) { return model->facts.blocks - model->two_way; }

bool tx_model_is_two_way(const tx_model *model, int64_t depth) {
  return depth > tx_model_two_way(model);
}
tx_dtype tx_model_dtype(const tx_model *model) { return model->dtype; }

_Static_assert(TX_MATRICES <= 8, "a bit of a byte for each slot");

void tx_model_keep_f32(tx_model *model, int64_t block, tx_matrix_slot slot, bool keep) {
  uint8_t bit = (uint8_t)(1u << slot);
  model->kept[block] = (uint8_t)(keep ? model->kept[block] | bit : model->kept[block] & ~bit);
}

bool tx_model_keeps_f32(const tx_model *model, int64_t block, tx_matrix_slot slot) {
  return (model->kept[block] >> slot & 1) != 0;
}

bool tx_model_is_changed(const tx_model *model, int64_t block, tx_matrix_slot slot) {
  tx_weight weight;
  return tx_weight_of_matrix(model->gguf, model->changes, &model->facts, block, slot, false,
                             &weight, NULL) == TX_OK &&
         tx_weight_is_changed(&weight, model->gguf);
}

const tx_block *tx_model_block(const tx_model *model, int64_t index) {
  return model->blocks[index].memory ? &model->blocks[index].view : NULL;
}

tx_status tx_model_read_matrix(const tx_model *model, int64_t block, tx_matrix_slot slot, bool bias,
                               float *values, tx_error *error) {
  tx_weight weight;
  TX_TRY(tx_weight_of_matrix(model->gguf, model->changes, &model->facts, block, slot, bias, &weight,
                             error));
  tx_weight_rows(&weight, 0, weight.rows, values);
  return tx_weight_check(&weight, values, weight.rows * weight.columns, error);
}

tx_status tx_model_read_norm(const tx_model *model, int64_t block, tx_norm_slot slot, float *weight,
                             float *bias, tx_error *error) {
  char stem[64];
  snprintf(stem, sizeof stem, "blk.%" PRId64 ".%s", block, tx_norm_stem(slot));
  for (int which = 0; which <= tx_model_norm_has_bias(model); which++) {
    float *values = which ? bias : weight;
    tx_weight found;
    TX_TRY(tx_model_norm_weight(model, stem, which, &found, error));
    tx_weight_rows(&found, 0, 1, values);
    TX_TRY(tx_weight_check(&found, values, model->facts.width, error));
  }
  return TX_OK;
}
