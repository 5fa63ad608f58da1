/* The whole model as one GGUF file: the base's keys and tensors as they stand there, what
 * training changed in their place.  A head is no tensor of it, since llama.cpp refuses a
 * file that holds tensors it does not know: it is written beside, as JSON. */
#include <stdio.h>
#include <string.h>

#include "formats/gguf_write.h"
#include "score/network.h"
#include "tasks/export.h"

static const char model_name[] = "model.gguf", head_name[] = "classifier.json";

/* Trained rows of a table that the output shares are rows of the embedding alone. */
static void add_output(tx_exporting *e, const tx_export_tensor *embedding,
                       tx_gguf_writer *writer) {
  const tx_tensor *tensor = embedding->merged.tensor;
  bool tied = !tx_gguf_tensor(tx_model_gguf(e->model), "output.weight");
  if (!tied || !embedding->merged.changed || e->depth < tx_model_facts(e->model)->blocks) return;
  tx_gguf_add_tensor(writer, "output.weight", tensor->type, tensor->dimensions, tensor->shape,
                     tensor->data);
}

static void add_tensor(tx_exporting *e, const tx_export_tensor *t, tx_gguf_writer *writer) {
  const tx_tensor *tensor = t->merged.tensor;
  if (!t->merged.changed) {
    tx_gguf_add_tensor(writer, tensor->name, tensor->type, tensor->dimensions, tensor->shape,
                       tensor->data);
    return;
  }
  bool half = e->options.half && t->merged.rows > 1; /* as llama.cpp has them: vectors are F32 */
  e->total += t->merged.rows * t->merged.columns;
  tx_gguf_add_rows(writer, tensor->name, half, tensor->dimensions, tensor->shape, &t->rows);
  if (strcmp(tensor->name, "token_embd.weight") == 0) add_output(e, t, writer);
}

/* How llama.cpp pools when it is asked for embeddings: its numbers; 0: not as we do. */
static uint32_t pooling_type(const tx_exporting *e) {
  switch (e->pooling) {
    case TX_POOLING_MEAN: return 1;
    case TX_POOLING_FIRST: return 2;
    case TX_POOLING_LAST: return 3;
    default: return 0;
  }
}

static void add_keys(const tx_exporting *e, tx_gguf_writer *writer) {
  const char *name = tx_model_facts(e->model)->architecture->name;
  char blocks[96], pooling[96];
  const char *const without[] = {blocks, pooling};
  snprintf(blocks, sizeof blocks, "%s.block_count", name);
  snprintf(pooling, sizeof pooling, "%s.pooling_type", name);
  tx_gguf_add_keys(writer, tx_model_gguf(e->model), without, e->facts ? 2 : 1);
  tx_gguf_add_u32(writer, blocks, (uint32_t)e->depth);
  if (e->facts && pooling_type(e) > 0) tx_gguf_add_u32(writer, pooling, pooling_type(e));
}

static tx_status add_model(tx_exporting *e, tx_gguf_writer *writer, tx_error *error) {
  tx_export_tensor *tensors;
  size_t count;
  add_keys(e, writer);
  TX_TRY(tx_export_tensors(e, &tensors, &count, error));
  for (size_t i = 0; i < count; i++) add_tensor(e, &tensors[i], writer);
  return TX_OK;
}

static tx_status write_model(tx_exporting *e, const char *path, tx_error *error) {
  tx_gguf_writer *writer = tx_gguf_writer_new();
  tx_status status = writer ? TX_OK : tx_fail_memory(error, 256, "a model");
  if (status == TX_OK) status = add_model(e, writer, error);
  if (status == TX_OK) status = tx_gguf_commit(writer, path, error);
  tx_gguf_writer_free(writer);
  return status;
}

/* ---- the head ------------------------------------------------------------- */

static json_t *numbers(const float *values, int64_t count) {
  json_t *array = json_array();
  for (int64_t i = 0; array && i < count; i++) {
    if (json_array_append_new(array, json_real((double)values[i])) == 0) continue;
    json_decref(array);
    return NULL;
  }
  return array;
}

/* Takes `item`. */
static bool append(json_t *array, json_t *item) {
  return item && json_array_append_new(array, item) == 0;
}

static json_t *head_json(const tx_exporting *e) {
  const tx_artifact_facts *facts = e->facts;
  json_t *labels = json_array(), *weight = json_array();
  bool whole = labels && weight;
  for (size_t i = 0; whole && i < facts->label_count; i++) {
    tx_text label = facts->labels[i];
    whole = append(labels, json_stringn(label.data, label.size)) &&
            append(weight, numbers(e->weight + (int64_t)i * e->features, e->features));
  }
  json_t *object = json_pack("{s:s, s:b, s:I, s:I, s:o*, s:o*, s:o*}", "pooling",
                             tx_pooling_name(e->pooling), "multi_label", facts->multi_label,
                             "depth", (json_int_t)e->depth, "max_tokens",
                             (json_int_t)facts->max_tokens, "labels", labels, "bias",
                             numbers(e->bias, (int64_t)facts->label_count), "weight", weight);
  bool all = whole && object && json_object_size(object) == 7;
  if (!all) json_decref(object);
  return all ? object : NULL;
}

tx_status tx_export_gguf(tx_exporting *e, tx_error *error) {
  char path[4096], head[4096];
  if (e->depth == 0) {
    return tx_fail(error, TX_ERROR_ARGUMENT,
                   "this classifier runs no block, and a model in GGUF has at least one; export it "
                   "--to safetensors");
  }
  if (e->facts) TX_TRY(tx_export_path(e, head_name, head, error));
  TX_TRY(tx_export_path(e, model_name, path, error));
  TX_TRY(write_model(e, path, error));
  TX_TRY(tx_export_wrote(e, model_name, error));
  return e->facts ? tx_export_json(e, head_name, head_json(e), error) : TX_OK;
}
