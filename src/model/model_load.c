/* Loading and unloading the blocks of a model. */
#include "model/model_parts.h"

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
  if (model->dtype == TX_DTYPE_FILE) {
    return tx_weight_group_bytes(weight) > 0 ? AS_GROUPS : AS_FLOATS;
  }
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
  if (find_matrix(model, block, slot, &weight, &adapter, NULL) != TX_OK) {
    return; /* checked before */
  }
  if (adapter.low_a) lay_out_adapter(matrix, &adapter, memory, at);
  switch (form_of(model, block, slot, &weight)) {
    case AS_BYTES:
      matrix->bytes = carve(memory, at, tx_bytes_packed(matrix->inputs, matrix->outputs));
      break;
    case AS_GROUPS:
      matrix->type = (uint32_t)weight.tensor->type;
      matrix->groups = carve(memory, at, tx_weight_group_bytes(&weight));
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
    if (tx_model_norm_has_bias(model)) view->norm[slot].bias = carve(memory, &at, width);
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
                 "%s: the weights of %" PRId64 " block%s take %.1f MB of memory in %s, and %.1f MB "
                 "are there; close other programs, run fewer blocks (--depth of train)%s, or use a "
                 "smaller model",
                 tx_gguf_path(model->gguf), blocks, blocks == 1 ? "" : "s", (double)bytes / 1e6,
                 f32                             ? "f32"
                 : model->dtype == TX_DTYPE_INT8 ? "int8"
                                                 : "the file's types",
                 (double)limit / 1e6, f32 ? " or --precision int8" : "");
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
  float *panels[] = {(float *)(uintptr_t)matrix->adapter->a,
                     (float *)(uintptr_t)matrix->adapter->b};
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
    tx_loaded_block *place = &model->blocks[block];
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
    model->blocks[block] = (tx_loaded_block){0};
  }
}
