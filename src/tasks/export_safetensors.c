/* model.safetensors and what stands beside it, for transformers. */
#include <stdio.h>
#include <string.h>

#include "formats/safetensors_write.h"
#include "tasks/export_hf.h"

static const char file_name[] = "model.safetensors";

/* A matrix in another layout. */
typedef struct {
  tx_export_tensor *tensor;
  int64_t head_size;
  tx_arena *arena;
  tx_arena_mark mark;
  float *whole; /* of a transposed one, while it is written */
} turned;

/* Halves of heads: the rows in another order. */
static tx_status read_halves(void *context, int64_t from, int64_t count, float *values,
                             tx_error *error) {
  const turned *t = context;
  for (int64_t i = 0; i < count; i++) {
    TX_TRY(tx_export_read(t->tensor, tx_hf_row(from + i, t->head_size), 1,
                          values + i * t->tensor->merged.columns, error));
  }
  return TX_OK;
}

/* Row i is column i of the matrix, which is expanded at the first and let go at the last. */
static tx_status read_columns(void *context, int64_t from, int64_t count, float *values,
                              tx_error *error) {
  turned *t = context;
  int64_t rows = t->tensor->merged.rows, columns = t->tensor->merged.columns;
  if (from == 0) {
    t->mark = tx_arena_here(t->arena);
    t->whole = tx_arena_array(t->arena, (size_t)rows, (size_t)columns * sizeof *t->whole);
    if (!t->whole) return tx_fail_memory(error, (uint64_t)(rows * columns) * 4, "a matrix");
    TX_TRY(tx_export_read(t->tensor, 0, rows, t->whole, error));
  }
  for (int64_t i = 0; i < count; i++) {
    for (int64_t k = 0; k < rows; k++) values[i * rows + k] = t->whole[k * columns + from + i];
  }
  if (from + count == columns) tx_arena_release(t->arena, t->mark);
  return TX_OK;
}

static tx_status turn(tx_exporting *e, tx_export_tensor *tensor, tx_error *error) {
  const tx_facts *facts = tx_model_facts(e->model);
  tx_hf_layout layout = tx_hf_layout_of(facts, &tensor->merged);
  if (layout == TX_HF_AS_IS) return TX_OK;
  turned *t = tx_arena_alloc(e->arena, sizeof *t);
  if (!t) return tx_fail_memory(error, sizeof *t, "a matrix");
  *t = (turned){.tensor = tensor, .head_size = facts->head_size, .arena = e->arena};
  tensor->rows.context = t;
  tensor->rows.read = layout == TX_HF_HALVES ? read_halves : read_columns;
  if (layout == TX_HF_TRANSPOSED) {
    tensor->rows.rows = tensor->merged.columns, tensor->rows.columns = tensor->merged.rows;
  }
  return TX_OK;
}

/* ---- tensors ------------------------------------------------------------- */

static tx_status add_tensor(tx_exporting *e, tx_export_tensor *tensor, tx_safetensors *writer,
                            tx_error *error) {
  char name[TX_HF_NAME];
  const tx_tensor *of = tensor->merged.tensor;
  if (!tx_hf_name(tx_model_facts(e->model), of->name, name)) {
    return tx_fail(error, TX_ERROR_INPUT, "%s: transformers has no tensor %s; export it --to gguf",
                   tx_gguf_path(tx_model_gguf(e->model)), of->name);
  }
  if (e->facts && strcmp(of->name, "output.weight") == 0) return TX_OK;
  TX_TRY(turn(e, tensor, error));
  e->total += tensor->merged.rows * tensor->merged.columns;
  tx_safetensors_add(writer, name, e->options.half, tensor->merged.rows == 1 ? 1 : 2,
                     &tensor->rows);
  return TX_OK;
}

/* The output of a language model that shares the embedding's table, without the rows that
 * were trained. */
static tx_status add_output(tx_exporting *e, const tx_export_tensor *embedding,
                            tx_safetensors *writer, tx_error *error) {
  tx_export_tensor *output = tx_arena_alloc(e->arena, sizeof *output);
  if (!output) return tx_fail_memory(error, sizeof *output, "a tensor");
  *output = *embedding;
  output->merged.values = NULL;
  output->rows.context = output;
  e->total += output->merged.rows * output->merged.columns;
  tx_safetensors_add(writer, "lm_head.weight", e->options.half, 2, &output->rows);
  return TX_OK;
}

static tx_status add_model(tx_exporting *e, tx_safetensors *writer, bool *tied, tx_error *error) {
  tx_export_tensor *tensors;
  size_t count;
  TX_TRY(tx_export_tensors(e, &tensors, &count, error));
  *tied = !tx_gguf_tensor(tx_model_gguf(e->model), "output.weight");
  for (size_t i = 0; i < count; i++) {
    const tx_merged *merged = &tensors[i].merged;
    TX_TRY(add_tensor(e, &tensors[i], writer, error));
    if (e->facts || !*tied || !merged->changed) continue;
    if (strcmp(merged->tensor->name, "token_embd.weight") != 0) continue;
    TX_TRY(add_output(e, &tensors[i], writer, error));
    *tied = false;
  }
  return e->facts ? tx_hf_add_head(e, "", writer, error) : TX_OK;
}

static tx_status write_model(tx_exporting *e, bool *tied, tx_error *error) {
  char path[4096];
  TX_TRY(tx_export_path(e, file_name, path, error));
  tx_safetensors *writer = tx_safetensors_new();
  tx_status status = writer ? TX_OK : tx_fail_memory(error, 256, "a model");
  if (status == TX_OK) status = add_model(e, writer, tied, error);
  if (status == TX_OK) status = tx_safetensors_commit(writer, path, error);
  tx_safetensors_free(writer);
  return status == TX_OK ? tx_export_wrote(e, file_name, error) : status;
}

tx_status tx_export_safetensors(tx_exporting *e, tx_error *error) {
  static const char *const names[] = {"config.json", "modeling_taxon.py", "tokenizer.json",
                                      "tokenizer_config.json", NULL};
  bool tied;
  TX_TRY(tx_hf_check(e, error));
  TX_TRY(tx_hf_check_files(e, names, error));
  TX_TRY(write_model(e, &tied, error));
  TX_TRY(tx_hf_write_config(e, tied, error));
  if (e->facts) TX_TRY(tx_hf_write_python(e, error));
  return tx_hf_write_tokenizer(e, error);
}
