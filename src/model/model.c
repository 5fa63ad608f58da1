/* Opening a model, loading and unloading its blocks, embedding and logits. */
#include "model/model.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/available.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "kernels/grouped.h"
#include "kernels/product.h"
#include "model/bytes.h"
#include "model/weights.h"

typedef struct {
  tx_block view;
  unsigned char *memory; /* NULL: not loaded */
  size_t bytes;
} loaded_block;

struct tx_model {
  tx_gguf *gguf;
  const tx_gguf *changes; /* borrowed */
  tx_facts facts;
  tx_weight embedding, positions, output; /* output: the embedding where they are tied */
  const tx_tensor *changed_ids, *changed_rows, *changed_positions; /* of the changes; or NULL */
  tx_norm output_norm;
  float *output_norm_memory;
  tx_dtype dtype; /* of what is loaded next */
  bool apart;     /* low-rank changes, of what is loaded next */
  int64_t two_way; /* how many of the last blocks look ahead too */
  uint8_t *kept;  /* (L): of each block, bit s: slot s stays fp32 */
  loaded_block *blocks; /* (L) */
  /* The output matrix as groups, once logits were asked for so; NULL before.  Several
   * passes may come to it at once: the first to be done stays. */
  _Atomic(unsigned char *) *output_groups;
};

/* Of a weight as groups; 0 where its type has no such product. */
static uint64_t group_bytes(const tx_weight *weight) {
  return tx_grouped_packed_bytes((uint32_t)weight->tensor->type, weight->columns, weight->rows);
}

/* ---- opening ----------------------------------------------------------- */

static tx_status norm_weights(const tx_model *model, const char *stem, bool bias, tx_weight *weight,
                              tx_error *error) {
  char name[96];
  snprintf(name, sizeof name, "%s.%s", stem, bias ? "bias" : "weight");
  return tx_weight_of_vector(model->gguf, model->changes, name, model->facts.width, weight, error);
}

static bool norm_has_bias(const tx_model *model) {
  return model->facts.architecture->norm == TX_NORM_LAYER;
}

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
    for (int bias = 0; bias <= norm_has_bias(model); bias++) {
      TX_TRY(norm_weights(model, stem, bias, &weight, error));
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
  for (int bias = 0; bias <= norm_has_bias(model); bias++) {
    tx_weight weight;
    TX_TRY(norm_weights(model, "output_norm", bias, &weight, error));
    tx_weight_rows(&weight, 0, 1, memory + bias * width);
    TX_TRY(tx_weight_check(&weight, memory + bias * width, width, error));
  }
  model->output_norm = (tx_norm){memory, norm_has_bias(model) ? memory + width : NULL};
  return TX_OK;
}

/* Whether a tensor is one that this program computes with, of the model's file, or of what was
 * `changed`, where query, key and value are never one. */
static bool is_known(const tx_model *model, const char *name, bool changed) {
  static const char *const globals[] = {"token_embd.weight", "output.weight", "output_norm.weight"};
  const tx_architecture *a = model->facts.architecture;
  for (size_t i = 0; i < sizeof globals / sizeof *globals; i++) {
    if (strcmp(name, globals[i]) == 0) return true;
  }
  if (strcmp(name, "output_norm.bias") == 0) return norm_has_bias(model);
  if (strcmp(name, "position_embd.weight") == 0) return a->positions == TX_POSITION_LEARNED;
  int block = 0, stem_at = 0, stem_end = 0;
  int read = sscanf(name, "blk.%5d.%n%*[^.]%n", &block, &stem_at, &stem_end);
  if (read != 1 || !stem_end || block < 0 || block >= model->facts.blocks) return false;
  char plain[16]; /* "00" and "+1" are read as numbers too, but never looked up */
  int digits = snprintf(plain, sizeof plain, "%d.", block);
  if (strncmp(name + 4, plain, (size_t)digits) != 0) return false;
  bool bias = strcmp(name + stem_end, ".bias") == 0;
  if (!bias && strcmp(name + stem_end, ".weight") != 0) return false;
  size_t size = (size_t)(stem_end - stem_at);
  if (a->fused_qkv && size == 8 && memcmp(name + stem_at, "attn_qkv", 8) == 0) return true;
  for (int slot = 0; slot < TX_NORMS; slot++) {
    const char *stem = tx_norm_stem((tx_norm_slot)slot);
    if (strlen(stem) == size && !memcmp(stem, name + stem_at, size)) return !bias || norm_has_bias(model);
  }
  for (int slot = a->fused_qkv && !changed ? TX_MATRIX_OUT : 0; slot < TX_MATRICES; slot++) {
    const char *stem = tx_matrix_stem((tx_matrix_slot)slot);
    if (strlen(stem) != size || memcmp(stem, name + stem_at, size) != 0) continue;
    return (!bias || a->biases) && (slot != TX_MATRIX_GATE || a->gated);
  }
  return false;
}

/* A tensor that would be left out means a model of another kind under a known
 * name: its answers would be wrong without a word. */
static tx_status check_nothing_left_out(const tx_model *model, tx_error *error) {
  for (size_t i = 0; i < tx_gguf_tensor_count(model->gguf); i++) {
    const tx_tensor *tensor = tx_gguf_tensor_at(model->gguf, i);
    if (is_known(model, tensor->name, false)) continue;
    char where[512];
    snprintf(where, sizeof where, "%s: %s", tx_gguf_path(model->gguf), tensor->name);
    return tx_fail_byte(error, TX_ERROR_INPUT, where, tensor->offset,
                        "taxon does not compute with this tensor in a %s model and would give wrong "
                        "answers without it; use another model",
                        model->facts.architecture->name);
  }
  return TX_OK;
}

/* "blk.0.ffn_up.weight" of "blk.0.ffn_up.weight.lora_a"; false for a name without such an end. */
static bool cut_low(const char *name, char stem[80]) {
  size_t size = strlen(name);
  bool low = size > 7 && size < 80 && (strcmp(name + size - 7, ".lora_a") == 0 ||
                                       strcmp(name + size - 7, ".lora_b") == 0 ||
                                       strcmp(name + size - 7, ".lora_m") == 0);
  if (low) snprintf(stem, 80, "%.*s", (int)size - 7, name);
  return low;
}

/* What an artifact holds of a model under a name that this one has not: answers would differ
 * from those in training without a word. */
static tx_status check_changes(const tx_model *model, tx_error *error) {
  static const char *const own[] = {"blk.", "token_embd.", "position_embd.", "output"};
  static const char *const rows[] = {"token_embd.ids", "token_embd.rows", "position_embd.rows"};
  for (size_t i = 0; model->changes && i < tx_gguf_tensor_count(model->changes); i++) {
    const tx_tensor *tensor = tx_gguf_tensor_at(model->changes, i);
    char stem[80];
    bool low = cut_low(tensor->name, stem), ours = false;
    bool known = is_known(model, low ? stem : tensor->name, true);
    for (size_t k = 0; k < 4; k++) ours |= strncmp(tensor->name, own[k], strlen(own[k])) == 0;
    for (size_t k = 0; k < 3; k++) known |= strcmp(tensor->name, rows[k]) == 0;
    if (!ours || known) continue;
    char where[512];
    snprintf(where, sizeof where, "%s: %s", tx_gguf_path(model->changes), tensor->name);
    return tx_fail_byte(error, TX_ERROR_INPUT, where, tensor->offset,
                        "the base has no such tensor; the artifact is damaged or of another base, "
                        "train it again");
  }
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
  TX_TRY(check_nothing_left_out(model, error));
  TX_TRY(check_changes(model, error));
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
  if (groups) tx_pages_free(groups, group_bytes(&model->output));
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

/* ---- loading ----------------------------------------------------------- */

/* The memory of a block: each matrix's panels, its bias, then the norms, each
 * part starting on a cache line. */
static void *carve(unsigned char *memory, uint64_t *at, uint64_t bytes) {
  void *part = memory ? memory + *at : NULL;
  *at += (bytes + 63) & ~(uint64_t)63;
  return part;
}

typedef enum { AS_FLOATS, AS_BYTES, AS_GROUPS } form;

/* The matrix as it is packed, and apart from it a low-rank change that is kept beside:
 * `adapter` has no low_a where there is none. */
static tx_status find_matrix(const tx_model *model, int64_t block, tx_matrix_slot slot,
                             tx_weight *weight, tx_weight *adapter, tx_error *error) {
  TX_TRY(tx_weight_of_matrix(model->gguf, model->changes, &model->facts, block, slot, false, weight,
                             error));
  *adapter = *weight;
  if (model->apart) {
    weight->low_a = weight->low_b = weight->low_m = NULL;
  } else {
    adapter->low_a = adapter->low_b = adapter->low_m = NULL;
  }
  return TX_OK;
}

/* What was trained stays as it was trained. */
static form form_of(const tx_model *model, int64_t block, tx_matrix_slot slot,
                    const tx_weight *weight) {
  if (model->dtype == TX_DTYPE_F32 || tx_weight_is_changed(weight, model->gguf)) return AS_FLOATS;
  if (model->dtype == TX_DTYPE_FILE) return group_bytes(weight) > 0 ? AS_GROUPS : AS_FLOATS;
  bool kept = tx_model_keeps_f32(model, block, slot) ||
              tx_bytes_packed(weight->columns, weight->rows) == 0;
  return kept ? AS_FLOATS : AS_BYTES;
}

/* A is (rank, inputs), B (outputs, rank). */
static void lay_out_adapter(tx_matrix *matrix, const tx_weight *weight, unsigned char *memory,
                            uint64_t *at) {
  int64_t rank = weight->low_a->shape[1];
  tx_adapter *adapter = carve(memory, at, sizeof *adapter);
  float *a = carve(memory, at, tx_packed_size(matrix->inputs, rank) * sizeof(float));
  float *b = carve(memory, at, tx_packed_size(rank, matrix->outputs) * sizeof(float));
  float *gain = NULL;
  if (weight->low_m) gain = carve(memory, at, (uint64_t)matrix->outputs * sizeof(float));
  if (!memory) return;
  *adapter = (tx_adapter){.rank = rank, .scale = 1, .a = a, .b = b, .gain = gain};
  matrix->adapter = adapter;
}

static void lay_out_matrix(const tx_model *model, int64_t block, tx_matrix_slot slot,
                           unsigned char *memory, uint64_t *at, tx_matrix *matrix) {
  tx_weight weight, adapter;
  if (find_matrix(model, block, slot, &weight, &adapter, NULL) != TX_OK) return; /* checked before */
  if (adapter.low_a) lay_out_adapter(matrix, &adapter, memory, at);
  switch (form_of(model, block, slot, &weight)) {
    case AS_BYTES:
      matrix->bytes = carve(memory, at, tx_bytes_packed(matrix->inputs, matrix->outputs));
      break;
    case AS_GROUPS:
      matrix->type = (uint32_t)weight.tensor->type;
      matrix->groups = carve(memory, at, group_bytes(&weight));
      break;
    default:
      matrix->panels = carve(memory, at,
                             tx_packed_size(matrix->inputs, matrix->outputs) * sizeof(float));
  }
}

static uint64_t lay_out_block(const tx_model *model, int64_t block, unsigned char *memory,
                              tx_block *view) {
  uint64_t at = 0, width = (uint64_t)model->facts.width * sizeof(float);
  for (int slot = 0; slot < TX_MATRICES; slot++) {
    tx_matrix *matrix = &view->matrix[slot];
    tx_matrix_shape(&model->facts, (tx_matrix_slot)slot, &matrix->outputs, &matrix->inputs);
    if (matrix->outputs == 0) continue;
    lay_out_matrix(model, block, (tx_matrix_slot)slot, memory, &at, matrix);
    if (!model->facts.architecture->biases) continue;
    matrix->bias = carve(memory, &at, (uint64_t)matrix->outputs * sizeof(float));
  }
  for (int slot = 0; slot < TX_NORMS; slot++) {
    view->norm[slot].weight = carve(memory, &at, width);
    if (norm_has_bias(model)) view->norm[slot].bias = carve(memory, &at, width);
  }
  return at;
}

uint64_t tx_model_bytes(const tx_model *model, int64_t from, int64_t to) {
  uint64_t bytes = 0;
  for (int64_t block = from; block < to; block++) {
    tx_block view = {0};
    bytes += lay_out_block(model, block, NULL, &view);
  }
  return bytes;
}

tx_status tx_model_check_memory(const tx_model *model, int64_t from, int64_t to, tx_error *error) {
  uint64_t bytes = 0, limit;
  int64_t blocks = 0;
  for (int64_t block = from; block < to; block++) {
    if (model->blocks[block].memory) continue;
    bytes += tx_model_bytes(model, block, block + 1);
    blocks++;
  }
  if (blocks == 0) return TX_OK;
  TX_TRY(tx_memory_limit(&limit, error));
  if (bytes <= limit) return TX_OK;
  bool f32 = model->dtype == TX_DTYPE_F32;
  return tx_fail(error, TX_ERROR_SYSTEM,
                 "%s: the weights of %" PRId64 " block%s take %.1f MB of memory in %s, and %.1f MB are "
                 "there; close other programs, run fewer blocks (--depth of train)%s, or use a "
                 "smaller model",
                 tx_gguf_path(model->gguf), blocks, blocks == 1 ? "" : "s", (double)bytes / 1e6,
                 f32 ? "f32" : model->dtype == TX_DTYPE_INT8 ? "int8" : "the file's types", (double)limit / 1e6, f32 ? " or --precision int8" : "");
}

/* A row at a time, with what the adapter adds. */
static tx_status load_gain(const tx_matrix *matrix, const tx_weight *weight, tx_error *error) {
  float *row = tx_alloc_array((size_t)matrix->inputs, sizeof *row);
  if (!row) return tx_fail_memory(error, (uint64_t)matrix->inputs * 4, "an adapter");
  tx_weight sum = *weight;
  sum.low_m = NULL;
  for (int64_t n = 0; n < matrix->outputs; n++) {
    tx_weight_rows(&sum, n, 1, row);
    tx_weight_gain(weight, row, n, (float *)(uintptr_t)&matrix->adapter->gain[n]);
  }
  tx_free(row);
  return TX_OK;
}

/* A low-rank change's own tensors, which are the artifact's. */
static tx_status check_low(const tx_model *model, const tx_weight *weight, tx_error *error) {
  const tx_tensor *tensors[] = {weight->low_a, weight->low_b, weight->low_m};
  for (int i = 0; i < 3 && tensors[i]; i++) {
    const tx_weight part = {.tensor = tensors[i], .file = model->changes};
    const float *values = (const float *)(const void *)tensors[i]->data;
    TX_TRY(tx_weight_check(&part, values, tensors[i]->shape[0] * tensors[i]->shape[1], error));
  }
  return TX_OK;
}

static tx_status load_adapter(const tx_model *model, const tx_matrix *matrix,
                              const tx_weight *weight, tx_error *error) {
  int64_t rank = matrix->adapter->rank;
  const tx_tensor *tensors[] = {weight->low_a, weight->low_b};
  const int64_t rows[] = {rank, matrix->outputs}, columns[] = {matrix->inputs, rank};
  float *panels[] = {(float *)(uintptr_t)matrix->adapter->a, (float *)(uintptr_t)matrix->adapter->b};
  TX_TRY(check_low(model, weight, error));
  for (int i = 0; i < 2; i++) {
    const float *values = (const float *)(const void *)tensors[i]->data;
    tx_pack(values, 1, columns[i], columns[i], rows[i], panels[i]);
  }
  return weight->low_m ? load_gain(matrix, weight, error) : TX_OK;
}

static tx_status load_vectors(tx_model *model, int64_t block, tx_error *error) {
  const tx_block *view = &model->blocks[block].view;
  tx_weight weight, adapter;
  for (int slot = 0; slot < TX_MATRICES; slot++) {
    const tx_matrix *matrix = &view->matrix[slot];
    if (matrix->adapter) {
      TX_TRY(find_matrix(model, block, (tx_matrix_slot)slot, &weight, &adapter, error));
      TX_TRY(load_adapter(model, matrix, &adapter, error));
    }
    if (!matrix->bias || matrix->outputs == 0) continue;
    TX_TRY(tx_weight_of_matrix(model->gguf, model->changes, &model->facts, block,
                               (tx_matrix_slot)slot, true, &weight, error));
    tx_weight_rows(&weight, 0, 1, (float *)matrix->bias);
    TX_TRY(tx_weight_check(&weight, matrix->bias, matrix->outputs, error));
  }
  for (int slot = 0; slot < TX_NORMS; slot++) {
    TX_TRY(tx_model_read_norm(model, block, (tx_norm_slot)slot, (float *)view->norm[slot].weight,
                              (float *)view->norm[slot].bias, error));
  }
  return TX_OK;
}

/* One task packs one panel of one matrix. */
typedef struct {
  tx_weight weight;
  const tx_matrix *matrix; /* whose memory is written */
  int64_t first_task;
} matrix_load;

typedef struct {
  matrix_load *loads;
  int64_t count, scratch_floats;
  float *scratch;          /* (workers, scratch_floats) */
  _Atomic int64_t damaged; /* 1 + the first load with NaN or infinity; 0 */
} loading;

/* The smallest stays, in whatever order the threads come. */
static void note_damaged(_Atomic int64_t *damaged, int64_t number) {
  int64_t held = atomic_load(damaged);
  while ((held == 0 || number < held) &&
         !atomic_compare_exchange_weak(damaged, &held, number)) {
  }
}

static void load_task(void *context, int64_t index, int worker) {
  loading *l = context;
  int64_t low = 0, high = l->count - 1;
  while (low < high) { /* the last load that starts at or before this task */
    int64_t middle = (low + high + 1) / 2;
    if (l->loads[middle].first_task <= index) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  const matrix_load *load = &l->loads[low];
  const tx_weight *weight = &load->weight;
  int64_t row = (index - load->first_task) * TX_PANEL, inputs = weight->columns;
  int64_t rows = weight->rows - row < TX_PANEL ? weight->rows - row : TX_PANEL;
  float *values = l->scratch + worker * l->scratch_floats;
  tx_weight_rows(weight, row, rows, values);
  if (tx_weight_check(weight, values, rows * inputs, NULL) != TX_OK) {
    note_damaged(&l->damaged, low + 1);
  }
  const tx_matrix *matrix = load->matrix;
  if (matrix->groups) return; /* packed as a whole, from the file's blocks */
  if (matrix->bytes) {
    tx_bytes_pack(tx_int8_get(), values, inputs, matrix->outputs, row, rows,
                  (int8_t *)(uintptr_t)matrix->bytes);
  } else {
    tx_pack_panel(values, 1, inputs, inputs, rows, (float *)matrix->panels + row * inputs);
  }
}

/* From the file's blocks, which the tasks have looked through. */
static void pack_groups(const loading *l) {
  for (int64_t i = 0; i < l->count; i++) {
    const tx_matrix *matrix = l->loads[i].matrix;
    if (!matrix->groups) continue;
    tx_grouped_pack(matrix->type, tx_weight_blocks(&l->loads[i].weight, 0), matrix->inputs,
                    matrix->outputs, (unsigned char *)(uintptr_t)matrix->groups);
  }
}

static tx_status load_matrices(tx_model *model, int64_t from, int64_t to, loading *l,
                               tx_error *error) {
  int64_t tasks = 0, widest = 0;
  for (int64_t block = from; block < to; block++) {
    for (int slot = 0; slot < TX_MATRICES; slot++) {
      const tx_matrix *matrix = &model->blocks[block].view.matrix[slot];
      if (matrix->outputs == 0) continue;
      matrix_load *load = &l->loads[l->count++];
      tx_weight adapter;
      TX_TRY(find_matrix(model, block, (tx_matrix_slot)slot, &load->weight, &adapter, error));
      load->matrix = matrix;
      load->first_task = tasks;
      tasks += (matrix->outputs + TX_PANEL - 1) / TX_PANEL;
      if (matrix->inputs > widest) widest = matrix->inputs;
    }
  }
  l->scratch_floats = widest * TX_PANEL;
  l->scratch = tx_alloc_array((size_t)(tx_threads() * l->scratch_floats), sizeof(float));
  if (!l->scratch) return tx_fail_memory(error, (uint64_t)l->scratch_floats * 4, "loading weights");
  tx_parallel(tasks, load_task, l);
  pack_groups(l);
  int64_t damaged = atomic_load(&l->damaged);
  if (!damaged) return TX_OK;
  const tx_weight *weight = &l->loads[damaged - 1].weight;
  if (weight->low_a) TX_TRY(check_low(model, weight, error));
  float not_finite = (float)__builtin_inf();
  return tx_weight_check(weight, &not_finite, 1, error);
}

static tx_status load_missing(tx_model *model, int64_t from, int64_t to, tx_error *error) {
  for (int64_t block = from; block < to; block++) {
    loaded_block *place = &model->blocks[block];
    memset(&place->view, 0, sizeof place->view);
    place->view.two_way = block >= model->facts.blocks - model->two_way;
    place->bytes = lay_out_block(model, block, NULL, &place->view);
    place->memory = tx_pages_alloc(place->bytes);
    if (!place->memory) return tx_fail_memory(error, place->bytes, "the weights of a block");
    lay_out_block(model, block, place->memory, &place->view);
    TX_TRY(load_vectors(model, block, error));
  }
  loading l = {0};
  l.loads = tx_alloc_zero((size_t)((to - from) * TX_MATRICES), sizeof *l.loads);
  tx_status status = l.loads ? load_matrices(model, from, to, &l, error)
                             : tx_fail_memory(error, sizeof *l.loads, "loading weights");
  tx_free(l.loads);
  tx_free(l.scratch);
  return status;
}

tx_status tx_model_load(tx_model *model, int64_t from, int64_t to, tx_error *error) {
  TX_TRY(tx_model_check_memory(model, from, to, error));
  while (from < to) {
    if (model->blocks[from].memory) {
      from++;
      continue;
    }
    int64_t end = from + 1;
    while (end < to && !model->blocks[end].memory) end++;
    tx_status status = load_missing(model, from, end, error);
    if (status != TX_OK) {
      tx_model_unload(model, from, end);
      return status;
    }
    from = end;
  }
  return TX_OK;
}

void tx_model_unload(tx_model *model, int64_t from, int64_t to) {
  for (int64_t block = from; block < to; block++) {
    tx_pages_free(model->blocks[block].memory, model->blocks[block].bytes);
    model->blocks[block] = (loaded_block){0};
  }
}

/* ---- the two ends ------------------------------------------------------ */

/* The changes' row of a token, or NULL. */
static const float *changed_row(const tx_model *model, int32_t id) {
  if (!model->changed_ids) return NULL;
  const int32_t *ids = (const int32_t *)(const void *)model->changed_ids->data;
  int64_t low = 0, high = model->changed_ids->shape[0];
  while (low < high) {
    int64_t middle = low + (high - low) / 2;
    if (ids[middle] < id) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  if (low == model->changed_ids->shape[0] || ids[low] != id) return NULL;
  return (const float *)(const void *)model->changed_rows->data + low * model->facts.width;
}

void tx_model_read_token(const tx_model *model, int32_t id, float *row) {
  const float *changed = changed_row(model, id);
  if (changed) {
    memcpy(row, changed, (size_t)model->facts.width * sizeof *row);
  } else {
    tx_weight_rows(&model->embedding, id, 1, row);
  }
}

/* Where a token's row stands, to be named. */
static tx_weight embedding_of(const tx_model *model, int32_t id) {
  tx_weight weight = model->embedding;
  if (changed_row(model, id)) weight.tensor = model->changed_rows, weight.file = model->changes;
  return weight;
}

void tx_model_read_position(const tx_model *model, int64_t position, float *row) {
  const tx_tensor *changed = model->changed_positions;
  int64_t width = model->facts.width;
  if (changed && position < changed->shape[1]) {
    memcpy(row, (const float *)(const void *)changed->data + position * width,
           (size_t)width * sizeof *row);
  } else {
    tx_weight_rows(&model->positions, position, 1, row);
  }
}

tx_status tx_model_embed(const tx_model *model, const int32_t *ids, const int64_t *positions,
                         int64_t count, float *x, tx_error *error) {
  int64_t width = model->facts.width;
  float *row = tx_alloc_array((size_t)width, sizeof *row);
  if (!row) return tx_fail_memory(error, (uint64_t)width * 4, "an embedding");
  tx_status status = TX_OK;
  for (int64_t i = 0; i < count && status == TX_OK; i++) {
    float *out = x + i * width;
    if (ids[i] < 0 || ids[i] >= model->facts.vocabulary || positions[i] >= model->facts.context) {
      status = tx_fail(error, TX_ERROR_INPUT,
                       "%s: token %d at position %" PRId64 " is outside the vocabulary of %" PRId64
                       " or the context of %" PRId64,
                       tx_gguf_path(model->gguf), ids[i], positions[i], model->facts.vocabulary,
                       model->facts.context);
      break;
    }
    tx_model_read_token(model, ids[i], out);
    if (model->positions.tensor) {
      tx_model_read_position(model, positions[i], row);
      for (int64_t c = 0; c < width; c++) out[c] += row[c];
    }
    tx_weight named = embedding_of(model, ids[i]);
    status = tx_weight_check(&named, out, width, error);
  }
  tx_free(row);
  return status;
}

typedef struct {
  const tx_model *model;
  const tx_kernels *kernels;
  const float *states;
  int64_t rows;
  float *logits, *scratch; /* scratch: (workers, 2, TX_PANEL * C) */
  atomic_bool damaged;     /* NaN or infinity among the weights */
} logits_work;

static tx_status check_output(const tx_model *model, logits_work *work, tx_error *error) {
  float not_finite = (float)__builtin_inf();
  if (!atomic_load(&work->damaged)) return TX_OK;
  return tx_weight_check(&model->output, &not_finite, 1, error);
}

/* A panel of the output matrix, row-major, looked through. */
static void expand_panel(logits_work *w, int64_t first, int64_t columns, float *values) {
  const tx_weight *output = &w->model->output;
  tx_weight_rows(output, first, columns, values);
  if (tx_weight_check(output, values, columns * output->columns, NULL) != TX_OK) {
    atomic_store(&w->damaged, true);
  }
}

/* A panel of the output matrix is expanded, packed, used once and forgotten. */
static void logits_task(void *context, int64_t index, int worker) {
  logits_work *w = context;
  int64_t width = w->model->facts.width, vocabulary = w->model->facts.vocabulary;
  int64_t first = index * TX_PANEL;
  int64_t columns = vocabulary - first < TX_PANEL ? vocabulary - first : TX_PANEL;
  float *values = w->scratch + worker * 2 * TX_PANEL * width, *panel = values + TX_PANEL * width;
  expand_panel(w, first, columns, values);
  if (!w->logits) return; /* only looked through */
  tx_pack_panel(values, 1, width, width, columns, panel);
  w->kernels->product(w->rows, width, columns, w->states, width, 1, panel, NULL, false,
                      w->logits + first, vocabulary);
}

static tx_status logits_of_floats(const tx_model *model, const float *states, int64_t rows,
                                  float *logits, tx_error *error) {
  size_t floats = (size_t)(tx_threads() * 2 * TX_PANEL * model->facts.width);
  logits_work work = {model, tx_kernels_get(), states, rows, logits, NULL, false};
  work.scratch = tx_alloc_array(floats, sizeof(float));
  if (!work.scratch) return tx_fail_memory(error, floats * 4, "the logits");
  tx_parallel((model->facts.vocabulary + TX_PANEL - 1) / TX_PANEL, logits_task, &work);
  tx_free(work.scratch);
  return check_output(model, &work, error);
}

/* The output matrix as groups: packed now, once it is looked through, or there already. */
static tx_status output_groups(const tx_model *model, const unsigned char **panels,
                               tx_error *error) {
  const tx_weight *output = &model->output;
  unsigned char *there = atomic_load(model->output_groups);
  *panels = there;
  if (there) return TX_OK;
  TX_TRY(logits_of_floats(model, NULL, 0, NULL, error));
  unsigned char *made = tx_pages_alloc(group_bytes(output));
  if (!made) return tx_fail_memory(error, group_bytes(output), "the output matrix");
  tx_grouped_pack((uint32_t)output->tensor->type, tx_weight_blocks(output, 0), output->columns,
                  output->rows, made);
  bool first = atomic_compare_exchange_strong(model->output_groups, &there, made);
  if (!first) tx_pages_free(made, group_bytes(output));
  *panels = first ? made : there;
  return TX_OK;
}

static tx_status logits_of_groups(const tx_model *model, const float *states, int64_t rows,
                                  float *logits, tx_error *error) {
  int64_t width = model->facts.width;
  const unsigned char *panels;
  TX_TRY(output_groups(model, &panels, error));
  tx_group *groups = tx_alloc_array((size_t)(rows * (width / TX_GROUP)), sizeof *groups);
  if (!groups) return tx_fail_memory(error, (uint64_t)(rows * width), "the logits");
  tx_grouped_product product = {.kernels = tx_grouped_get(),
                                .type = (uint32_t)model->output.tensor->type,
                                .rows = rows,
                                .depth = width,
                                .columns = model->output.rows,
                                .x = groups,
                                .panels = panels,
                                .y = logits,
                                .y_row = model->output.rows};
  tx_grouped_quantise(product.kernels, states, width, rows, width, groups);
  tx_grouped_product_run(&product);
  tx_free(groups);
  return TX_OK;
}

tx_status tx_model_logits(const tx_model *model, const float *states, int64_t rows, float *logits,
                          tx_error *error) {
  bool groups = model->dtype != TX_DTYPE_F32 && group_bytes(&model->output) > 0;
  return (groups ? logits_of_groups : logits_of_floats)(model, states, rows, logits, error);
}

bool tx_model_is_tied(const tx_model *model) {
  return model->output.tensor == model->embedding.tensor;
}

tx_status tx_model_read_output(const tx_model *model, float *values, tx_error *error) {
  tx_weight_rows(&model->output, 0, model->output.rows, values);
  return tx_weight_check(&model->output, values, model->output.rows * model->output.columns, error);
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
  for (int which = 0; which <= norm_has_bias(model); which++) {
    float *values = which ? bias : weight;
    tx_weight found;
    TX_TRY(norm_weights(model, stem, which, &found, error));
    tx_weight_rows(&found, 0, 1, values);
    TX_TRY(tx_weight_check(&found, values, model->facts.width, error));
  }
  return TX_OK;
}
