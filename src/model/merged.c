/* Which weights, changes and rows make up a tensor of the file. */
#include "model/merged.h"

#include <stdio.h>
#include <string.h>

static int64_t height(const tx_tensor *tensor) {
  int64_t rows = 1;
  for (int i = 1; i < tensor->dimensions; i++) rows *= tensor->shape[i];
  return rows;
}

/* Tables and what no change can touch. */
static tx_merged whole(const tx_model *model, const tx_tensor *tensor) {
  tx_merged merged = {.tensor = tensor,
                      .block = -1,
                      .rows = height(tensor),
                      .columns = tensor->shape[0],
                      .count = 1};
  merged.parts[0] = (tx_weight){.tensor = tensor,
                                .file = tx_model_gguf(model),
                                .rows = merged.rows,
                                .columns = merged.columns};
  return merged;
}

static void find_rows(const tx_model *model, tx_merged *merged) {
  const tx_gguf *changes = tx_model_changes(model);
  const char *name = merged->tensor->name;
  if (!changes) return;
  if (strcmp(name, "token_embd.weight") == 0) {
    merged->ids = tx_gguf_tensor(changes, "token_embd.ids");
    merged->values = merged->ids ? tx_gguf_tensor(changes, "token_embd.rows") : NULL;
  } else if (strcmp(name, "position_embd.weight") == 0) {
    merged->values = tx_gguf_tensor(changes, "position_embd.rows");
  }
  merged->changed = merged->values != NULL;
}

/* "blk.N.STEM.ending"; false: of no block. */
static bool split_name(const char *name, int *block, char stem[32], bool *bias) {
  int at = 0;
  char ending[16];
  if (sscanf(name, "blk.%5d.%n", block, &at) != 1 || at == 0) return false;
  if (sscanf(name + at, "%31[^.].%15s", stem, ending) != 2) return false;
  *bias = strcmp(ending, "bias") == 0;
  return true;
}

static tx_status add_matrix(const tx_model *model, tx_matrix_slot slot, bool bias,
                            tx_merged *merged, tx_error *error) {
  const tx_gguf *gguf = tx_model_gguf(model);
  tx_weight *part = &merged->parts[merged->count];
  TX_TRY(tx_weight_of_matrix(gguf, tx_model_changes(model), tx_model_facts(model), merged->block,
                             slot, bias, part, error));
  merged->changed = merged->changed || tx_weight_is_changed(part, gguf);
  merged->rows = bias ? 1 : merged->rows + part->rows;
  merged->columns = bias ? merged->columns + part->columns : part->columns;
  merged->count++;
  return TX_OK;
}

static tx_status add_vector(const tx_model *model, tx_merged *merged, tx_error *error) {
  const tx_gguf *gguf = tx_model_gguf(model);
  tx_weight *part = &merged->parts[0];
  TX_TRY(tx_weight_of_vector(gguf, tx_model_changes(model), merged->tensor->name,
                             tx_model_facts(model)->width, part, error));
  merged->changed = tx_weight_is_changed(part, gguf);
  merged->rows = 1, merged->columns = part->columns, merged->count = 1;
  return TX_OK;
}

static tx_status find_in_block(const tx_model *model, const char *stem, bool bias,
                               tx_merged *merged, tx_error *error) {
  merged->rows = merged->columns = 0, merged->count = 0;
  if (strcmp(stem, "attn_qkv") == 0) {
    for (int slot = TX_MATRIX_QUERY; slot <= TX_MATRIX_VALUE; slot++) {
      TX_TRY(add_matrix(model, (tx_matrix_slot)slot, bias, merged, error));
    }
    return TX_OK;
  }
  for (int slot = 0; slot < TX_MATRICES; slot++) {
    if (strcmp(stem, tx_matrix_stem((tx_matrix_slot)slot)) != 0) continue;
    return add_matrix(model, (tx_matrix_slot)slot, bias, merged, error);
  }
  return add_vector(model, merged, error);
}

tx_status tx_merged_find(const tx_model *model, const tx_tensor *tensor, tx_merged *merged,
                         tx_error *error) {
  int block;
  char stem[32];
  bool bias;
  *merged = whole(model, tensor);
  if (split_name(tensor->name, &block, stem, &bias)) {
    merged->block = block;
    return find_in_block(model, stem, bias, merged, error);
  }
  if (strncmp(tensor->name, "output_norm.", 12) == 0) return add_vector(model, merged, error);
  find_rows(model, merged);
  return TX_OK;
}

/* ---- reading ----------------------------------------------------------- */

static tx_status read_part(const tx_weight *part, int64_t from, int64_t count, float *values,
                           tx_error *error) {
  tx_weight_rows(part, from, count, values);
  return tx_weight_check(part, values, count * part->columns, error);
}

static tx_status read_vector(const tx_merged *merged, float *values, tx_error *error) {
  for (int i = 0; i < merged->count; i++) {
    TX_TRY(read_part(&merged->parts[i], 0, 1, values, error));
    values += merged->parts[i].columns;
  }
  return TX_OK;
}

static void replace_rows(const tx_merged *merged, int64_t from, int64_t count, float *values) {
  if (!merged->values) return;
  const float *rows = (const float *)(const void *)merged->values->data;
  const int32_t *ids = merged->ids ? (const int32_t *)(const void *)merged->ids->data : NULL;
  int64_t columns = merged->columns;
  for (int64_t i = 0; i < merged->values->shape[1]; i++) {
    int64_t row = (ids ? ids[i] : i) - from;
    if (row < 0 || row >= count) continue;
    memcpy(values + row * columns, rows + i * columns, (size_t)columns * sizeof *values);
  }
}

tx_status tx_merged_read(const tx_merged *merged, int64_t from, int64_t count, float *values,
                         tx_error *error) {
  if (merged->rows == 1) return read_vector(merged, values, error);
  int64_t at = from, end = from + count, begin = 0; /* `begin`: of the part */
  for (int i = 0; i < merged->count; i++) {
    const tx_weight *part = &merged->parts[i];
    int64_t stop = begin + part->rows < end ? begin + part->rows : end;
    if (at >= begin && at < stop) {
      TX_TRY(read_part(part, at - begin, stop - at, values + (at - from) * merged->columns, error));
      at = stop;
    }
    begin += part->rows;
  }
  replace_rows(merged, from, count, values);
  const tx_weight base = {.tensor = merged->tensor, .file = merged->parts[0].file};
  return merged->values ? tx_weight_check(&base, values, count * merged->columns, error) : TX_OK;
}
