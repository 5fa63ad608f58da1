/* Each block runs once in fp32; what its products read is left on the tape, and
 * each product is done again from there, in fp32 and as bytes. */
#include "model/spikes.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/watch.h"
#include "kernels/product.h"
#include "model/bytes.h"

typedef struct {
  tx_model *model;
  tx_pass *pass;
  int64_t tokens;
} measuring;

/* What the slot's product reads: (tokens, inputs), every token being wanted. */
static const float *input_of(const tx_tape *tape, tx_matrix_slot slot) {
  switch (slot) {
    case TX_MATRIX_OUT: return tape->attended;
    case TX_MATRIX_GATE:
    case TX_MATRIX_UP: return tape->mlp_normed;
    case TX_MATRIX_DOWN: return tape->active;
    default: return tape->normed;
  }
}

/* The mean over rows of |bytes - floats|^2 / |floats|^2; rows of zeros say nothing. */
static double mean_error(const float *floats, const float *bytes, int64_t rows, int64_t columns) {
  double sum = 0;
  for (int64_t row = 0; row < rows; row++) {
    double error = 0, size = 0;
    for (int64_t n = row * columns; n < (row + 1) * columns; n++) {
      double difference = (double)bytes[n] - (double)floats[n];
      error += difference * difference;
      size += (double)floats[n] * (double)floats[n];
    }
    if (size > 0) sum += error / size;
  }
  return sum / (double)rows;
}

/* Without the bias, which both have. */
static void multiply(const measuring *m, const tx_matrix *matrix, const float *x,
                     const int8_t *bytes, uint8_t *quantised, float *y, float *of_bytes) {
  tx_product floats = {.kernels = m->pass->kernels,
                       .rows = m->tokens,
                       .depth = matrix->inputs,
                       .columns = matrix->outputs,
                       .x = x,
                       .x_row = matrix->inputs,
                       .x_step = 1,
                       .panels = matrix->panels,
                       .y = y,
                       .y_row = matrix->outputs};
  tx_product_run(&floats);
  tx_matrix as_bytes = {.outputs = matrix->outputs, .inputs = matrix->inputs, .bytes = bytes};
  tx_bytes_quantise(m->pass->int8, x, matrix->inputs, m->tokens, quantised);
  tx_bytes_product product = {m->pass->int8, &as_bytes, m->tokens, quantised, of_bytes};
  tx_bytes_product_run(&product);
}

static void pack(const measuring *m, const float *weights, const tx_matrix *matrix, int8_t *bytes) {
  for (int64_t first = 0; first < matrix->outputs; first += TX_PANEL) {
    int64_t rows = matrix->outputs - first < TX_PANEL ? matrix->outputs - first : TX_PANEL;
    tx_bytes_pack(m->pass->int8, weights + first * matrix->inputs, matrix->inputs, matrix->outputs,
                  first, rows, bytes);
  }
}

/* Memory of one matrix's measurement, let go after it: models may be large. */
typedef struct {
  float *weights, *y, *of_bytes;
  int8_t *packed;
  uint8_t *quantised;
  unsigned char *memory;
  size_t size;
} workplace;

static void *take(workplace *w, uint64_t bytes) {
  void *part = w->memory ? w->memory + w->size : NULL;
  w->size += (bytes + 63) & ~(uint64_t)63;
  return part;
}

static void lay_out(const measuring *m, const tx_matrix *matrix, workplace *w) {
  uint64_t products = (uint64_t)(m->tokens * matrix->outputs) * sizeof(float);
  w->size = 0;
  w->weights = take(w, (uint64_t)(matrix->outputs * matrix->inputs) * sizeof(float));
  w->y = take(w, products);
  w->of_bytes = take(w, products);
  w->packed = take(w, tx_bytes_packed(matrix->inputs, matrix->outputs));
  w->quantised = take(w, (uint64_t)m->tokens * tx_bytes_row(matrix->inputs));
}

static tx_status measure_matrix(const measuring *m, int64_t block, tx_matrix_slot slot,
                                const tx_tape *tape, double *result, tx_error *error) {
  const tx_matrix *matrix = &tx_model_block(m->model, block)->matrix[slot];
  workplace w = {0};
  *result = 0;
  if (matrix->outputs == 0 || tx_bytes_packed(matrix->inputs, matrix->outputs) == 0) return TX_OK;
  lay_out(m, matrix, &w);
  w.memory = tx_pages_alloc(w.size);
  if (!w.memory) return tx_fail_memory(error, w.size, "measuring a matrix");
  lay_out(m, matrix, &w);
  tx_status status = tx_model_read_matrix(m->model, block, slot, false, w.weights, error);
  if (status == TX_OK) {
    pack(m, w.weights, matrix, w.packed);
    multiply(m, matrix, input_of(tape, slot), w.packed, w.quantised, w.y, w.of_bytes);
    *result = mean_error(w.y, w.of_bytes, m->tokens, matrix->outputs);
  }
  tx_pages_free(w.memory, w.size);
  return status;
}

/* One block over x (T, C), which it changes, and its matrices. */
static tx_status measure_block(const measuring *m, const tx_sequences *sample, int64_t block,
                               float *x, double *errors, tx_error *error) {
  tx_batch batch;
  tx_tape tape;
  tx_arena_reset(m->pass->arena);
  TX_TRY(tx_batch_make(m->pass, sample->offsets, sample->count, &batch, error));
  tx_wanted all = tx_wanted_all(&batch);
  uint64_t floats = (uint64_t)(m->tokens * tx_model_facts(m->model)->width);
  float *y = tx_arena_array(m->pass->arena, floats, sizeof *y);
  if (!y) return tx_fail_memory(error, floats * sizeof *y, "states");
  TX_TRY(tx_block_forward(m->pass, tx_model_block(m->model, block), &batch, &all, x, y, &tape,
                          error));
  for (int slot = 0; slot < TX_MATRICES; slot++) {
    TX_TRY(measure_matrix(m, block, (tx_matrix_slot)slot, &tape, errors + slot, error));
  }
  memcpy(x, y, floats * sizeof *y);
  return TX_OK;
}

static tx_status measure_all(const measuring *m, const tx_sequences *sample, int64_t depth,
                             float *x, double *errors, const tx_watch *watch, tx_error *error) {
  TX_TRY(tx_trunk_run(m->model, m->pass, sample, 0, m->tokens, x, "measure", NULL, error));
  for (int64_t block = 0; block < depth; block++) {
    tx_watch_report(watch, "measure", block, depth, "blocks");
    TX_TRY(tx_watch_check(watch, error));
    tx_model_unload(m->model, block, block + 1); /* it may be there as bytes */
    TX_TRY(tx_model_load(m->model, block, block + 1, error));
    tx_status status = measure_block(m, sample, block, x, errors + block * TX_MATRICES, error);
    tx_model_unload(m->model, block, block + 1);
    TX_TRY(status);
  }
  tx_watch_report(watch, "measure", depth, depth, "blocks");
  return TX_OK;
}

tx_status tx_spikes_measure(tx_model *model, tx_pass *pass, const tx_sequences *sample,
                            int64_t depth, double *errors, const tx_watch *watch, tx_error *error) {
  const int64_t start[] = {sample->offsets[0], sample->offsets[0] + TX_SPIKES_TOKENS};
  bool longer = sample->offsets[1] > start[1]; /* than is needed: its beginning will do */
  tx_sequences part = {1, sample->ids, longer ? start : sample->offsets};
  while (!longer && part.count < sample->count &&
         sample->offsets[part.count + 1] - sample->offsets[0] <= TX_SPIKES_TOKENS) {
    part.count++;
  }
  const measuring m = {model, pass, part.offsets[part.count] - part.offsets[0]};
  uint64_t floats = (uint64_t)(m.tokens * tx_model_facts(model)->width);
  float *x = tx_alloc_array(floats, sizeof *x);
  if (!x) return tx_fail_memory(error, floats * sizeof *x, "states");
  tx_dtype dtype = tx_model_dtype(model);
  tx_model_set_dtype(model, TX_DTYPE_F32);
  tx_status status = measure_all(&m, &part, depth, x, errors, watch, error);
  tx_model_set_dtype(model, dtype);
  tx_free(x);
  return status;
}

tx_status tx_spikes_keep(tx_model *model, tx_pass *pass, const tx_sequences *sample, int64_t depth,
                         const tx_watch *watch, tx_error *error) {
  size_t count = (size_t)depth * TX_MATRICES;
  double *errors = tx_alloc_zero(count, sizeof *errors);
  if (!errors) return tx_fail_memory(error, count * sizeof *errors, "measuring matrices");
  tx_status status = tx_spikes_measure(model, pass, sample, depth, errors, watch, error);
  for (size_t i = 0; status == TX_OK && i < count; i++) {
    /* NaN too: a product that is not a number is no better as bytes */
    bool keep = !(errors[i] <= TX_SPIKES_BOUND);
    tx_model_keep_f32(model, (int64_t)(i / TX_MATRICES), (tx_matrix_slot)(i % TX_MATRICES), keep);
  }
  tx_free(errors);
  return status;
}

void tx_matrix_name(int64_t block, tx_matrix_slot slot, char name[TX_MATRIX_NAME]) {
  snprintf(name, TX_MATRIX_NAME, "blk.%" PRId64 ".%s", block, tx_matrix_stem(slot));
}

bool tx_matrix_find(const tx_facts *facts, tx_text name, int64_t *block, tx_matrix_slot *slot) {
  char of[TX_MATRIX_NAME];
  for (*block = 0; *block < facts->blocks; ++*block) {
    for (int s = 0; s < TX_MATRICES; s++) {
      int64_t outputs, inputs;
      *slot = (tx_matrix_slot)s;
      tx_matrix_shape(facts, *slot, &outputs, &inputs);
      tx_matrix_name(*block, *slot, of);
      if (outputs > 0 && strlen(of) == name.size && memcmp(of, name.data, name.size) == 0) {
        return true;
      }
    }
  }
  return false;
}
