/* Declaring the parameters, binding the views to them, reading the values. */
#include "adapt/trained.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/random.h"
#include "kernels/product.h"

/* ---- the walk ---------------------------------------------------------- */

/* Names are declared and views bound by one walk over the same parameters, run
 * once before their memory exists and once after. */
typedef struct {
  tx_trained *trained;
  int64_t next;
  bool bind, tied;
  int64_t lengths; /* floats that are taken of the lengths' room */
} walk;

static tx_parameter *visit(walk *w, const char *name, int64_t outputs, int64_t inputs) {
  if (!w->bind) return tx_parameters_add(&w->trained->parameters, name, outputs, inputs);
  return &w->trained->parameters.items[w->next++];
}

static int64_t number_of(const tx_trained *t, int64_t index) {
  return t->options.depth - t->options.blocks + index;
}

static void walk_norm(walk *w, const char *stem, tx_norm *norm, float **dweight, float **dbias) {
  char name[80];
  int64_t width = w->trained->facts->width;
  snprintf(name, sizeof name, "%s.weight", stem);
  tx_parameter *weight = visit(w, name, 1, width);
  norm->weight = weight->value, *dweight = weight->gradient;
  if (w->trained->facts->architecture->norm != TX_NORM_LAYER) return;
  snprintf(name, sizeof name, "%s.bias", stem);
  tx_parameter *bias = visit(w, name, 1, width);
  norm->bias = bias->value, *dbias = bias->gradient;
}

static void walk_norms(walk *w, int64_t index) {
  tx_block_gradient *gradient = &w->trained->gradient[index];
  char name[80];
  for (int slot = 0; slot < TX_NORMS; slot++) {
    snprintf(name, sizeof name, "blk.%" PRId64 ".%s", number_of(w->trained, index),
             tx_norm_stem((tx_norm_slot)slot));
    walk_norm(w, name, &w->trained->view[index].norm[slot], &gradient->norm_weight[slot],
              &gradient->norm_bias[slot]);
  }
}

static void walk_matrix(walk *w, int64_t index, tx_matrix_slot slot) {
  tx_trained *t = w->trained;
  tx_matrix *matrix = &t->view[index].matrix[slot];
  const char *stem = tx_matrix_stem(slot);
  char name[80];
  snprintf(name, sizeof name, "blk.%" PRId64 ".%s.weight", number_of(t, index), stem);
  tx_parameter *weight = visit(w, name, matrix->outputs, matrix->inputs);
  weight->packed = !t->lazy;
  t->weight[index][slot] = weight;
  matrix->panels = weight->panels;
  t->transposed[index][slot] = weight->transposed;
  t->gradient[index].matrix[slot] = weight->gradient;
  if (!t->facts->architecture->biases) return;
  snprintf(name, sizeof name, "blk.%" PRId64 ".%s.bias", number_of(t, index), stem);
  tx_parameter *bias = visit(w, name, 1, matrix->outputs);
  matrix->bias = bias->value;
  t->gradient[index].bias[slot] = bias->gradient;
}

/* The magnitude of a matrix with an adapter: a parameter, and room for what follows of it. */
static void walk_magnitude(walk *w, int64_t index, tx_matrix_slot slot, const tx_parameter *a,
                           const tx_parameter *b) {
  tx_trained *t = w->trained;
  const tx_matrix *matrix = &t->view[index].matrix[slot];
  char name[80];
  snprintf(name, sizeof name, "blk.%" PRId64 ".%s.weight.lora_m", number_of(t, index),
           tx_matrix_stem(slot));
  tx_parameter *length = visit(w, name, 1, matrix->outputs);
  if (!w->bind) {
    t->lengths_count += 3 * matrix->outputs;
    return;
  }
  float *room = t->lengths + w->lengths;
  w->lengths += 3 * matrix->outputs;
  t->magnitude[index][slot] = (tx_magnitude){matrix, a, b, room, length};
  t->adapter[index][slot].gain = room + matrix->outputs;
  t->adapter[index][slot].inverse = room + 2 * matrix->outputs;
  t->gradient[index].magnitude[slot] = length->gradient;
}

static void walk_adapter(walk *w, int64_t index, tx_matrix_slot slot) {
  tx_trained *t = w->trained;
  const tx_adapter_options *o = &t->options.adapter;
  tx_matrix *matrix = &t->view[index].matrix[slot];
  char name[80];
  snprintf(name, sizeof name, "blk.%" PRId64 ".%s.weight.lora_a", number_of(t, index),
           tx_matrix_stem(slot));
  tx_parameter *a = visit(w, name, o->rank, matrix->inputs);
  name[strlen(name) - 1] = 'b';
  tx_parameter *b = visit(w, name, matrix->outputs, o->rank);
  a->matrix = b->matrix = true; /* of rank 1 too */
  uint64_t number = (uint64_t)(number_of(t, index) * TX_MATRICES + slot + 1);
  tx_adapter *adapter = &t->adapter[index][slot];
  *adapter = (tx_adapter){.rank = o->rank,
                          .scale = (float)o->scale,
                          .a = a->panels,
                          .b = b->panels,
                          .a_transposed = a->transposed,
                          .b_transposed = b->transposed,
                          .dropout = (float)o->dropout,
                          .salt = number * 0xbf58476d1ce4e5b9u};
  matrix->adapter = adapter;
  t->gradient[index].adapter_a[slot] = a->gradient;
  t->gradient[index].adapter_b[slot] = b->gradient;
  if (o->magnitudes) walk_magnitude(w, index, slot, a, b);
}

static bool trains_matrices(const tx_trained *t) {
  return t->options.part == TX_TRAINED_ALL || t->options.part == TX_TRAINED_MODEL;
}

static bool has_adapter(const tx_trained *t, int slot) {
  return t->options.part == TX_TRAINED_ADAPTERS && (t->options.adapter.targets >> slot & 1);
}

static void walk_block(walk *w, int64_t index) {
  tx_trained *t = w->trained;
  for (int slot = 0; slot < TX_MATRICES; slot++) {
    tx_matrix *matrix = &t->view[index].matrix[slot];
    tx_matrix_shape(t->facts, (tx_matrix_slot)slot, &matrix->outputs, &matrix->inputs);
    if (matrix->outputs == 0) continue;
    if (trains_matrices(t)) walk_matrix(w, index, (tx_matrix_slot)slot);
    if (has_adapter(t, slot)) walk_adapter(w, index, (tx_matrix_slot)slot);
  }
  if (t->options.part != TX_TRAINED_ADAPTERS) walk_norms(w, index);
}

/* Rows of tables, not matrices: no product reads them. */
static void walk_embeddings(walk *w) {
  tx_trained *t = w->trained;
  int64_t width = t->facts->width;
  bool all = t->options.vocabulary;
  t->tokens = visit(w, all ? "token_embd.weight" : "token_embd.rows",
                    all ? t->facts->vocabulary : t->options.id_count, width);
  t->tokens->matrix = false;
  t->output = all ? t->tokens : NULL;
  if (all && !w->tied) {
    t->output = visit(w, "output.weight", t->facts->vocabulary, width);
    t->output->matrix = false;
  }
  if (t->facts->architecture->positions != TX_POSITION_LEARNED) return;
  t->positions = visit(w, "position_embd.rows", t->options.positions, width);
  t->positions->matrix = false;
}

static void walk_all(tx_trained *t, const tx_model *model, bool bind) {
  walk w = {.trained = t, .bind = bind, .tied = tx_model_is_tied(model)};
  if (t->options.part == TX_TRAINED_MODEL) walk_embeddings(&w);
  for (int64_t i = 0; i < t->options.blocks; i++) walk_block(&w, i);
  if (t->options.blocks > 0 && t->options.part != TX_TRAINED_ADAPTERS) {
    walk_norm(&w, "output_norm", &t->norm, &t->dnorm_weight, &t->dnorm_bias);
  }
  if (t->options.query) t->query = visit(&w, "pool.query", 1, t->facts->width);
  if (t->options.classes == 0) return;
  t->head_weight = visit(&w, "head.weight", t->options.classes, t->options.features);
  t->head_bias = visit(&w, "head.bias", 1, t->options.classes);
}

/* "blk.7.ffn_up.weight" is as many blocks below the head as there are from 7 on; embeddings
 * are one further down than the first. */
static void set_rates(tx_trained *t) {
  double decay = t->options.layer_decay;
  if (decay <= 0 || decay >= 1) return;
  for (int64_t i = 0; i < t->parameters.count; i++) {
    int block;
    tx_parameter *p = &t->parameters.items[i];
    bool embeds = p == t->tokens || p == t->positions;
    if (!embeds && sscanf(p->name, "blk.%d.", &block) != 1) continue;
    if (embeds) block = -1;
    for (int64_t below = t->options.depth - block; below > 0; below--) p->rate *= decay;
  }
}

/* ---- values ------------------------------------------------------------ */

static tx_status read_norms(tx_trained *t, const tx_model *model, int64_t index, tx_error *error) {
  for (int slot = 0; slot < TX_NORMS; slot++) {
    const tx_norm *norm = &t->view[index].norm[slot];
    TX_TRY(tx_model_read_norm(model, number_of(t, index), (tx_norm_slot)slot, (float *)norm->weight,
                              (float *)norm->bias, error));
  }
  return TX_OK;
}

static tx_status read_matrices(tx_trained *t, const tx_model *model, int64_t index,
                               tx_error *error) {
  for (int slot = 0; slot < TX_MATRICES; slot++) {
    const tx_matrix *matrix = &t->view[index].matrix[slot];
    if (matrix->outputs == 0) continue;
    TX_TRY(tx_model_read_matrix(model, number_of(t, index), (tx_matrix_slot)slot, false,
                                t->weight[index][slot]->value, error));
    if (!matrix->bias) continue;
    TX_TRY(tx_model_read_matrix(model, number_of(t, index), (tx_matrix_slot)slot, true,
                                (float *)matrix->bias, error));
  }
  return TX_OK;
}

static void copy_output_norm(tx_trained *t, const tx_model *model) {
  const tx_norm *norm = tx_model_output_norm(model);
  size_t bytes = (size_t)t->facts->width * sizeof(float);
  memcpy((float *)t->norm.weight, norm->weight, bytes);
  if (norm->bias) memcpy((float *)t->norm.bias, norm->bias, bytes);
}

static tx_status read_vocabulary(tx_trained *t, const tx_model *model, tx_error *error) {
  int64_t width = t->facts->width;
  for (int64_t i = 0; i < t->facts->vocabulary; i++) {
    tx_model_read_token(model, (int32_t)i, t->tokens->value + i * width);
  }
  return t->output == t->tokens ? TX_OK : tx_model_read_output(model, t->output->value, error);
}

static tx_status read_rows(tx_trained *t, const tx_model *model, tx_error *error) {
  int64_t width = t->facts->width;
  t->row_of = tx_alloc_zero((size_t)t->facts->vocabulary, sizeof *t->row_of);
  if (!t->row_of) return tx_fail_memory(error, (uint64_t)t->facts->vocabulary * 4, "embeddings");
  for (int64_t i = 0; i < t->options.id_count; i++) {
    t->row_of[t->options.ids[i]] = (int32_t)i;
    tx_model_read_token(model, t->options.ids[i], t->tokens->value + i * width);
  }
  return TX_OK;
}

static tx_status read_embeddings(tx_trained *t, const tx_model *model, tx_error *error) {
  int64_t width = t->facts->width;
  TX_TRY((t->output ? read_vocabulary : read_rows)(t, model, error));
  for (int64_t i = 0; t->positions && i < t->options.positions; i++) {
    tx_model_read_position(model, i, t->positions->value + i * width);
  }
  return TX_OK;
}

/* The matrices A; all other parameters of adapters start at zero. */
static void start_adapters(tx_trained *t) {
  tx_random random = tx_random_seed(t->options.adapter.seed);
  for (int64_t i = 0; i < t->parameters.count; i++) {
    tx_parameter *p = &t->parameters.items[i];
    size_t size = strlen(p->name);
    if (size < 7 || strcmp(p->name + size - 7, ".lora_a") != 0) continue;
    double bound = 1 / sqrt((double)p->inputs);
    for (int64_t k = 0; k < p->outputs * p->inputs; k++) {
      p->value[k] = (float)(bound * (2 * tx_random_uniform(&random) - 1));
    }
  }
}

/* A magnitude starts as the length of its row, so that nothing is changed. */
static void start_magnitudes(tx_trained *t) {
  for (int64_t i = 0; i < t->options.blocks; i++) {
    for (int slot = 0; slot < TX_MATRICES; slot++) {
      const tx_magnitude *m = &t->magnitude[i][slot];
      if (!m->matrix) continue;
      tx_row_lengths(m->matrix, (float *)(uintptr_t)m->lengths);
      memcpy(m->length->value, m->lengths, (size_t)m->matrix->outputs * sizeof(float));
    }
  }
}

static tx_status read_values(tx_trained *t, const tx_model *model, tx_error *error) {
  for (int64_t i = 0; i < t->options.blocks; i++) {
    if (trains_matrices(t)) TX_TRY(read_matrices(t, model, i, error));
    if (t->options.part != TX_TRAINED_ADAPTERS) TX_TRY(read_norms(t, model, i, error));
  }
  if (t->options.blocks > 0 && t->options.part != TX_TRAINED_ADAPTERS) copy_output_norm(t, model);
  if (t->tokens) TX_TRY(read_embeddings(t, model, error));
  start_adapters(t);
  start_magnitudes(t);
  tx_parameters_pack(&t->parameters);
  return TX_OK;
}

/* ---- one block at a time ------------------------------------------------ */

/* Of either packed form. */
static uint64_t packed_size(int64_t outputs, int64_t inputs) {
  uint64_t one = tx_packed_size(outputs, inputs), other = tx_packed_size(inputs, outputs);
  return one > other ? one : other;
}

static uint64_t block_floats(const tx_trained *t) {
  uint64_t floats = 0;
  for (int slot = 0; slot < TX_MATRICES; slot++) {
    int64_t outputs, inputs;
    tx_matrix_shape(t->facts, (tx_matrix_slot)slot, &outputs, &inputs);
    if (outputs > 0) floats += (packed_size(outputs, inputs) + 15) & ~(uint64_t)15;
  }
  return floats;
}

/* Room for one block's packed forms: the first `block_floats` for the forward, where its
 * matrices are trained, then those for the backward. */
static tx_status make_place(tx_trained *t, tx_error *error) {
  t->place_bytes = (trains_matrices(t) ? 2 : 1) * block_floats(t) * sizeof(float);
  t->place = tx_pages_alloc(t->place_bytes);
  return t->place ? TX_OK : tx_fail_memory(error, t->place_bytes, "a block's packed weights");
}

/* The one form from the other where that is kept, else from the values. */
static void pack_backward(tx_trained *t, int64_t index, float *to) {
  for (int slot = 0; slot < TX_MATRICES; slot++) {
    const tx_matrix *matrix = &t->view[index].matrix[slot];
    int64_t outputs = matrix->outputs, inputs = matrix->inputs;
    if (outputs == 0) continue;
    if (trains_matrices(t)) {
      tx_pack(t->weight[index][slot]->value, inputs, 1, outputs, inputs, to);
    } else {
      tx_pack_transposed(matrix->panels, inputs, outputs, to);
    }
    t->transposed[index][slot] = to;
    to += (packed_size(outputs, inputs) + 15) & ~(uint64_t)15;
  }
}

static void pack_forward(tx_trained *t, int64_t index, float *to) {
  for (int slot = 0; slot < TX_MATRICES; slot++) {
    tx_matrix *matrix = &t->view[index].matrix[slot];
    if (matrix->outputs == 0) continue;
    tx_pack(t->weight[index][slot]->value, 1, matrix->inputs, matrix->inputs, matrix->outputs, to);
    matrix->panels = to;
    to += (packed_size(matrix->outputs, matrix->inputs) + 15) & ~(uint64_t)15;
  }
}

/* What is multiplied by follows from the adapters as they are now. */
static tx_status refresh_gains(tx_trained *t, int64_t index, tx_error *error) {
  for (int slot = 0; slot < TX_MATRICES; slot++) {
    const tx_magnitude *m = &t->magnitude[index][slot];
    const tx_adapter *adapter = &t->adapter[index][slot];
    if (!m->matrix) continue;
    TX_TRY(tx_magnitude_gain(tx_kernels_get(), m, (float *)(uintptr_t)adapter->gain,
                             (float *)(uintptr_t)adapter->inverse, error));
  }
  return TX_OK;
}

tx_status tx_trained_ready(tx_trained *t, int64_t index, bool backward, tx_error *error) {
  if (!backward) TX_TRY(refresh_gains(t, index, error));
  if (!t->lazy) return TX_OK;
  if (backward) {
    pack_backward(t, index, t->place + (trains_matrices(t) ? block_floats(t) : 0));
  } else if (trains_matrices(t)) {
    pack_forward(t, index, t->place);
  }
  return TX_OK;
}

/* The model's own blocks. */
static void borrow_blocks(tx_trained *t) {
  for (int64_t i = 0; i < t->options.blocks; i++) {
    t->view[i] = *tx_model_block(t->model, number_of(t, i));
  }
  t->norm = *tx_model_output_norm(t->model);
}

/* ---- embeddings -------------------------------------------------------- */

static int64_t row_of(const tx_trained *t, int32_t id) { return t->row_of ? t->row_of[id] : id; }

tx_status tx_trained_embed(const tx_trained *t, const int32_t *ids, const int64_t *positions,
                           int64_t count, float *x, tx_error *error) {
  int64_t width = t->facts->width;
  if (!t->tokens) return tx_model_embed(t->model, ids, positions, count, x, error);
  for (int64_t i = 0; i < count; i++, x += width) {
    memcpy(x, t->tokens->value + row_of(t, ids[i]) * width, (size_t)width * sizeof *x);
    if (!t->positions) continue;
    const float *position = t->positions->value + positions[i] * width;
    for (int64_t c = 0; c < width; c++) x[c] += position[c];
  }
  return TX_OK;
}

void tx_trained_embed_backward(tx_trained *t, const tx_kernels *kernels, const int32_t *ids,
                               const int64_t *positions, int64_t count, const float *dx) {
  int64_t width = t->facts->width;
  for (int64_t i = 0; i < count; i++, dx += width) {
    kernels->add(t->tokens->gradient + row_of(t, ids[i]) * width, dx, width);
    if (t->positions) kernels->add(t->positions->gradient + positions[i] * width, dx, width);
  }
}

/* ---- the whole --------------------------------------------------------- */

/* Floats that are kept packed, in either form: a few blocks of a small model. */
enum { KEPT_PACKED = 32 << 20 };

static tx_status build(tx_trained *t, const tx_model *model, tx_error *error) {
  size_t blocks = (size_t)t->options.blocks;
  t->view = tx_alloc_zero(blocks, sizeof *t->view);
  t->gradient = tx_alloc_zero(blocks, sizeof *t->gradient);
  t->transposed = tx_alloc_zero(blocks, sizeof *t->transposed);
  t->adapter = tx_alloc_zero(blocks, sizeof *t->adapter);
  t->weight = tx_alloc_zero(blocks, sizeof *t->weight);
  t->magnitude = tx_alloc_zero(blocks, sizeof *t->magnitude);
  if (!t->view || !t->gradient || !t->transposed || !t->adapter || !t->weight || !t->magnitude) {
    return tx_fail_memory(error, blocks * sizeof *t->view, "the trained blocks");
  }
  if (blocks > 0 && !trains_matrices(t)) borrow_blocks(t);
  for (size_t i = 0; i < blocks; i++) {
    t->view[i].two_way = tx_model_is_two_way(model, number_of(t, (int64_t)i) + 1);
  }
  uint64_t packed = t->options.packed > 0 ? t->options.packed : KEPT_PACKED;
  t->lazy = blocks > 0 && (!trains_matrices(t) || blocks * block_floats(t) > packed);
  if (t->lazy) TX_TRY(make_place(t, error));
  int64_t capacity = t->options.blocks * 3 * (TX_MATRICES + TX_NORMS) + 8;
  TX_TRY(tx_parameters_new(capacity, &t->parameters, error));
  walk_all(t, model, false);
  t->parameters.averaged = t->options.averaged;
  set_rates(t);
  TX_TRY(tx_parameters_allocate(&t->parameters, error));
  t->lengths = tx_alloc_array((size_t)t->lengths_count, sizeof *t->lengths);
  if (!t->lengths) return tx_fail_memory(error, (uint64_t)t->lengths_count * 4, "magnitudes");
  walk_all(t, model, true);
  return read_values(t, model, error);
}

tx_status tx_trained_new(const tx_model *model, tx_trained_options options, tx_trained *trained,
                         tx_error *error) {
  *trained = (tx_trained){.model = model, .facts = tx_model_facts(model), .options = options};
  tx_status status = build(trained, model, error);
  if (status != TX_OK) tx_trained_free(trained);
  return status;
}

void tx_trained_free(tx_trained *t) {
  tx_parameters_free(&t->parameters);
  tx_free(t->view);
  tx_free(t->gradient);
  tx_free(t->transposed);
  tx_free(t->adapter);
  tx_free(t->weight);
  tx_free(t->magnitude);
  tx_free(t->lengths);
  tx_free(t->row_of);
  if (t->place) tx_pages_free(t->place, t->place_bytes);
  *t = (tx_trained){0};
}
