/* Embeddings, and logits. */
#include "model/model_parts.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <string.h>

#include "base/memory.h"
#include "base/parallel.h"
#include "kernels/grouped.h"
#include "kernels/product.h"

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
  unsigned char *made = tx_pages_alloc(tx_weight_group_bytes(output));
  if (!made) return tx_fail_memory(error, tx_weight_group_bytes(output), "the output matrix");
  tx_grouped_pack((uint32_t)output->tensor->type, tx_weight_blocks(output, 0), output->columns,
                  output->rows, made);
  bool first = atomic_compare_exchange_strong(model->output_groups, &there, made);
  if (!first) tx_pages_free(made, tx_weight_group_bytes(output));
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
  bool groups = model->dtype != TX_DTYPE_F32 && tx_weight_group_bytes(&model->output) > 0;
  return (groups ? logits_of_groups : logits_of_floats)(model, states, rows, logits, error);
}

bool tx_model_is_tied(const tx_model *model) {
  return model->output.tensor == model->embedding.tensor;
}

tx_status tx_model_read_output(const tx_model *model, float *values, tx_error *error) {
  tx_weight_rows(&model->output, 0, model->output.rows, values);
  return tx_weight_check(&model->output, values, model->output.rows * model->output.columns, error);
}
